//! TIFF files of several channels, in a page or a page a channel, read as they are stored.

use super::*;

/// One page: 3 x 2 pixels of 16 bits, `samples` a pixel.
#[derive(Clone, Copy)]
struct Page {
    samples: usize,
    is_planar: bool,
    big_endian: bool,
}

/// Sample `channel` of pixel `at`.
fn value(page: usize, channel: usize, at: usize) -> u16 {
    (page * 20_000 + channel * 1000 + at) as u16
}

fn tiff(pages: &[Page]) -> Vec<u8> {
    let big = pages[0].big_endian;
    let short = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let long = |v: usize| if big { (v as u32).to_be_bytes() } else { (v as u32).to_le_bytes() };
    let mut file = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    let mut link = file.len();
    file.extend([0; 4]);
    for (number, page) in pages.iter().enumerate() {
        let Page { samples, is_planar, .. } = *page;
        let planes = if is_planar { samples } else { 1 };
        let data_at = file.len();
        for plane in 0..planes {
            for at in 0..6 {
                let channels = if is_planar { plane..plane + 1 } else { 0..samples };
                file.extend(channels.flat_map(|channel| short(value(number, channel, at))));
            }
        }
        let strip = 12 * samples / planes;
        let offsets_at = file.len();
        file.extend((0..planes).flat_map(|plane| long(data_at + plane * strip)));
        let lengths_at = file.len();
        file.extend((0..planes).flat_map(|_| long(strip)));
        let directory = long(file.len());
        file[link..link + 4].copy_from_slice(&directory);
        let where_or = |at: usize, only: usize| if planes == 1 { only } else { at };
        let entries = [
            (256, 4, 1, 3),
            (257, 4, 1, 2),
            (258, 4, 1, 16),
            (259, 4, 1, 1),
            (262, 4, 1, 1),
            (273, 4, planes, where_or(offsets_at, data_at)),
            (277, 4, 1, samples),
            (278, 4, 1, 2),
            (279, 4, planes, where_or(lengths_at, strip)),
            (284, 4, 1, if is_planar { 2 } else { 1 }),
        ];
        file.extend(short(entries.len() as u16));
        for (tag, kind, count, content) in entries {
            file.extend([&short(tag)[..], &short(kind), &long(count), &long(content)].concat());
        }
        link = file.len();
        file.extend([0; 4]);
    }
    file
}

fn raster(file: &[u8], channels: usize) -> Result<Raster, DecodeProblem> {
    Encoded::read(file)?.decode_raster(channels, Depth::Sixteen)
}

#[test]
fn all_channels_of_a_page_come_as_planes_however_they_are_stored() {
    for (is_planar, big_endian) in [(false, false), (true, false), (false, true), (true, true)] {
        let found = raster(&tiff(&[Page { samples: 5, is_planar, big_endian }]), 5).unwrap();
        let expected: Vec<f32> =
            (0..5).flat_map(|channel| (0..6).map(move |at| f32::from(value(0, channel, at)))).collect();
        assert_eq!((found.size, found.channels), (Size { height: 2, width: 3 }, 5));
        assert_eq!(found.data, expected, "planar: {is_planar}, big-endian: {big_endian}");
    }
}

#[test]
fn a_header_says_how_many_channels_and_bits_there_are() {
    let of = |file: &[u8]| Encoded::read(file).unwrap().channels();
    for samples in [1, 2, 4, 5] {
        let file = tiff(&[Page { samples, is_planar: false, big_endian: false }]);
        assert_eq!(of(&file), (samples, Depth::Sixteen));
    }
    assert_eq!(of(&fs::read(image("rgb.png")).unwrap()), (3, Depth::Eight));
}

#[test]
fn pages_of_one_channel_are_channels() {
    let page = Page { samples: 1, is_planar: false, big_endian: false };
    let file = tiff(&[page; 3]);
    let expected: Vec<f32> =
        (0..3).flat_map(|number| (0..6).map(move |at| f32::from(value(number, 0, at)))).collect();
    assert_eq!(raster(&file, 3).unwrap().data, expected);
    // One channel is the first page.
    assert_eq!(raster(&file, 1).unwrap().data, expected[..6]);
    let message = raster(&file, 4).unwrap_err().to_string();
    assert!(message.contains("it has 3 channels, and transforms.<split>.channels is 4"), "{message}");
}

#[test]
fn another_number_of_channels_and_files_that_are_cut_short_are_refused() {
    let page = Page { samples: 5, is_planar: false, big_endian: false };
    let file = tiff(&[page]);
    let message = raster(&file, 4).unwrap_err().to_string();
    assert!(message.contains("it has 5 channels, and transforms.<split>.channels is 4"), "{message}");
    for length in 0..file.len() - 4 {
        assert!(raster(&file[..length], 5).is_err(), "{length}");
    }
    // No change of a byte is a panic.
    for at in 0..file.len() {
        for new in [0, 1, 0x7F, 0xFF] {
            let mut changed = file.clone();
            changed[at] = new;
            let _ = raster(&changed, 5);
        }
    }
}

#[test]
fn png_files_keep_sixteen_bits() {
    let values: Vec<u16> = (0..12).map(|at| at * 5000 + 7).collect();
    let bytes = || values.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<u8>>();
    for (color, channels) in [(image::ExtendedColorType::L16, 1), (image::ExtendedColorType::Rgb16, 3)] {
        let mut file = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut file);
        let (width, height) = (12 / channels as u32 / 2, 2);
        image::ImageEncoder::write_image(encoder, &bytes(), width, height, color).unwrap();
        let found = raster(&file, channels).unwrap();
        let area = 12 / channels;
        let expected = (0..channels).flat_map(|channel| {
            let values = &values;
            (0..area).map(move |at| f32::from(values[at * channels + channel]))
        });
        assert_eq!(found.data, expected.collect::<Vec<f32>>());
        let message =
            Encoded::read(&file).unwrap().decode_raster(channels, Depth::Eight).unwrap_err().to_string();
        assert!(message.contains("set that to 16 for all splits"), "{message}");
    }
}
