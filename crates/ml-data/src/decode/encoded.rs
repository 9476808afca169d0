//! An image file in memory whose header has been read: [`Encoded`] → its size, and then its pixels,
//! as much of them as are wanted.

use std::cell::Cell;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use jpeg_ext::Wanted;

use super::error;
use super::oddity::{Observer, Oddity};
use super::raster::{Depth, Raster, Stored};
use super::{DecodeProblem, Format, MAX_ALLOCATION, MAX_PIXELS, Pixels, convert, exif, jpeg, npy, png, tiff};
use crate::geometry::{Area, Size};
use crate::guard;

/// An image file in memory, its header read and its size known to be allowed.
pub struct Encoded<'a> {
    bytes: &'a [u8],
    format: Format,
    kind: Kind<'a>,
    /// As stored, before the orientation.
    stored: Size,
    orientation: Orientation,
    noted: Option<&'a Cell<Option<Oddity>>>,
}

enum Kind<'a> {
    Jpeg(jpeg_ext::Header),
    Tiff(Box<tiff::Header>),
    Png(Box<png::Png<'a>>),
    Npy(npy::Npy<'a>),
    Other(Box<dyn ImageDecoder + 'a>),
}

impl<'a> Encoded<'a> {
    /// Recognises the format and reads the header.
    ///
    /// # Errors
    /// It is no image, of an unsupported kind, too large, or its header is damaged.
    pub fn read(bytes: &'a [u8]) -> Result<Encoded<'a>, DecodeProblem> {
        if bytes.is_empty() {
            return Err(DecodeProblem::Empty);
        }
        let format = super::recognize(bytes).ok_or_else(|| DecodeProblem::of_other(bytes))?;
        // Decoders are other people's code fed with other people's files: a bug in one must cost
        // one image, not the run.
        guarded(format, || match format {
            Format::Image(ImageFormat::Jpeg) => Encoded::read_jpeg(bytes),
            Format::Image(ImageFormat::Png) => Encoded::read_png(bytes),
            Format::Image(ImageFormat::Tiff) => Encoded::read_tiff(bytes),
            Format::Image(format) => Encoded::read_other(bytes, format),
            Format::Npy => Encoded::read_npy(bytes),
        })
    }

    fn read_jpeg(bytes: &'a [u8]) -> Result<Encoded<'a>, DecodeProblem> {
        let format = ImageFormat::Jpeg;
        let markers = jpeg::markers(bytes);
        if !markers.is_complete {
            return Err(DecodeProblem::CutShort { format: error::name(format) });
        }
        let header = jpeg_ext::Header::read(bytes).map_err(DecodeProblem::from_jpeg)?;
        let stored = Size { height: header.height, width: header.width };
        check_size(format, stored)?;
        let (orientation, format) = (markers.orientation, Format::Image(format));
        Ok(Encoded { bytes, format, kind: Kind::Jpeg(header), stored, orientation, noted: None })
    }

    fn read_tiff(bytes: &'a [u8]) -> Result<Encoded<'a>, DecodeProblem> {
        let header = tiff::Header::read(bytes)?;
        let (stored, orientation) = (header.size, exif::orientation_of_tiff(bytes));
        let kind = Kind::Tiff(Box::new(header));
        Ok(Encoded {
            bytes,
            format: Format::Image(ImageFormat::Tiff),
            kind,
            stored,
            orientation,
            noted: None,
        })
    }

    fn read_png(bytes: &'a [u8]) -> Result<Encoded<'a>, DecodeProblem> {
        let format = ImageFormat::Png;
        let png = png::Png::read(bytes)?;
        let stored = png.size();
        check_size(format, stored)?;
        let (orientation, format) = (png.orientation(), Format::Image(format));
        Ok(Encoded { bytes, format, kind: Kind::Png(Box::new(png)), stored, orientation, noted: None })
    }

    fn read_other(bytes: &'a [u8], format: ImageFormat) -> Result<Encoded<'a>, DecodeProblem> {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_ALLOCATION);
        reader.limits(limits);
        let decoder =
            reader.into_decoder().map_err(|error| DecodeProblem::from_image(format, bytes, error))?;
        let (width, height) = decoder.dimensions();
        let stored = Size { height, width };
        check_size(format, stored)?;
        if decoder.total_bytes() > MAX_ALLOCATION {
            return Err(DecodeProblem::TooLarge { width, height });
        }
        let orientation = match format {
            ImageFormat::WebP => exif::orientation_of_webp(bytes),
            _ => Orientation::NoTransforms,
        };
        let (kind, format) = (Kind::Other(Box::new(decoder)), Format::Image(format));
        Ok(Encoded { bytes, format, kind, stored, orientation, noted: None })
    }

    fn read_npy(bytes: &'a [u8]) -> Result<Encoded<'a>, DecodeProblem> {
        let npy = npy::Npy::read(bytes)?;
        let (stored, orientation) = (npy.size, Orientation::NoTransforms);
        Ok(Encoded { bytes, format: Format::Npy, kind: Kind::Npy(npy), stored, orientation, noted: None })
    }

    /// What is odd about the image is put into `noted` when it is decoded: why it comes out nearly
    /// black, or of one colour. Nothing is looked at but images of 16 bits or with alpha, so that a
    /// JPEG costs nothing.
    #[must_use]
    pub fn noting(self, noted: &'a Cell<Option<Oddity>>) -> Encoded<'a> {
        Encoded { noted: Some(noted), ..self }
    }

    /// The image's size, orientation applied.
    pub fn size(&self) -> Size {
        turned(self.stored, self.orientation)
    }

    /// Whether the stored image is turned or mirrored on the way to pixels.
    pub fn is_turned(&self) -> bool {
        self.orientation != Orientation::NoTransforms
    }

    /// The content's format, whatever the file is called.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether [`decode_reduced`](Encoded::decode_reduced) can save anything.
    pub fn is_reducible(&self) -> bool {
        matches!(&self.kind, Kind::Jpeg(header) if !header.is_lossless)
    }

    /// Whether the image can stand as RGB: of an array, that it has one channel or three.
    ///
    /// # Errors
    /// [`DecodeProblem::Channels`].
    pub fn check_rgb(&self) -> Result<(), DecodeProblem> {
        match &self.kind {
            Kind::Npy(npy) if ![1, 3].contains(&npy.channels) => {
                Err(DecodeProblem::Channels { found: npy.channels, wanted: 3 })
            }
            _ => Ok(()),
        }
    }

    /// Channels and bits that the file has, for
    /// [`decode_raster`](Encoded::decode_raster): without alpha, and three of 8 bits where the format
    /// or its colours are read as RGB only.
    pub fn channels(&self) -> (usize, Depth) {
        let stored = match &self.kind {
            Kind::Npy(npy) => npy.stored(),
            Kind::Png(png) => png.stored(),
            Kind::Tiff(header) if !matches!(header.color, tiff::Color::Cmyk) => {
                header.stored().ok().flatten().unwrap_or(RGB)
            }
            Kind::Tiff(_) | Kind::Jpeg(_) | Kind::Other(_) => RGB,
        };
        (stored.colors, stored.depth)
    }

    /// The whole image as it is stored, in `channels` channels. Of a file with alpha, either all
    /// samples are channels or all but alpha; of a TIFF file whose pages have one channel each, pages
    /// may be channels. Values of 8 bits are brought to the scale of 16.
    ///
    /// # Errors
    /// As [`decode`](Encoded::decode), and where the file has another number of channels, or more
    /// bits.
    pub fn decode_raster(self, channels: usize, depth: Depth) -> Result<Raster, DecodeProblem> {
        let Encoded { bytes, format, kind, stored, orientation, .. } = self;
        let raster = guarded(format, || match kind {
            Kind::Npy(npy) => {
                npy.stored().check(channels, depth)?;
                npy.raster()
            }
            Kind::Png(png) => {
                let own = png.stored();
                own.check(channels, depth)?;
                png.raster(channels, own)
            }
            Kind::Tiff(header) => {
                let Some(own) = header.stored()? else {
                    RGB.check(channels, depth)?;
                    let data = header.decode(bytes, &mut Observer::default())?;
                    return of_rgb(stored, &data, format);
                };
                match header.raster_of_pages(bytes, channels)? {
                    Some(raster) => {
                        let own = Stored { samples: channels, colors: channels, ..own };
                        own.check(channels, depth)?;
                        Ok(raster)
                    }
                    None => {
                        own.check(channels, depth)?;
                        header.raster(bytes, channels, own.depth)
                    }
                }
            }
            Kind::Jpeg(header) => {
                RGB.check(channels, depth)?;
                let decoded = decode_jpeg(&header, bytes, Wanted::Scaled(1))?;
                of_rgb(stored, &decoded.data, format)
            }
            Kind::Other(decoder) => {
                RGB.check(channels, depth)?;
                let color = decoder.color_type();
                if color.bytes_per_pixel() != color.channel_count() {
                    return Err(DecodeProblem::Unsupported {
                        format: format.name(),
                        reason: "16-bit channels are read from TIFF, PNG and NumPy files only".to_owned(),
                    });
                }
                let Format::Image(of) = format else { return Err(DecodeProblem::Empty) };
                let image = DynamicImage::from_decoder(decoder)
                    .map_err(|error| DecodeProblem::from_image(of, bytes, error))?;
                of_rgb(stored, convert::to_rgb8(of, image)?.as_raw(), format)
            }
        })?;
        Ok(raster.widened(depth).oriented(orientation))
    }

    /// The whole image.
    ///
    /// # Errors
    /// It is damaged, cut short, of an unsupported kind, or needs too much memory.
    pub fn decode(self) -> Result<Pixels, DecodeProblem> {
        self.decode_reduced(1)
    }

    /// The whole image, both sides divided by `divisor` (1, 2, 4 or 8) and rounded up; what is not
    /// [`is_reducible`](Encoded::is_reducible) comes in full.
    ///
    /// # Errors
    /// As [`decode`](Encoded::decode).
    pub fn decode_reduced(self, divisor: u32) -> Result<Pixels, DecodeProblem> {
        let Encoded { bytes, format, kind, stored, orientation, noted } = self;
        let mut observer = Observer::default();
        let pixels = guarded(format, || {
            let rgb = match kind {
                Kind::Jpeg(header) => {
                    let divisor = if header.is_lossless { 1 } else { divisor };
                    let decoded = decode_jpeg(&header, bytes, Wanted::Scaled(divisor))?;
                    rgb_image(decoded.width, decoded.height, decoded.data)?
                }
                Kind::Tiff(header) => {
                    rgb_image(stored.width, stored.height, header.decode(bytes, &mut observer)?)?
                }
                Kind::Png(png) => png.decode(noted.is_some().then_some(&mut observer))?,
                Kind::Npy(npy) => return Ok(npy.decode(&mut observer)),
                Kind::Other(decoder) => {
                    // Arrays have a kind of their own.
                    let Format::Image(format) = format else { return Err(DecodeProblem::Empty) };
                    let image = DynamicImage::from_decoder(decoder)
                        .map_err(|error| DecodeProblem::from_image(format, bytes, error))?;
                    if noted.is_some() {
                        observer.see(&image);
                    }
                    convert::to_rgb8(format, image)?
                }
            };
            Ok(pixels(oriented(rgb, orientation)))
        })?;
        if let Some(noted) = noted {
            noted.set(observer.oddity());
        }
        Ok(pixels)
    }

    /// At least `area` of the image, and where in the pixels it lies. The pixels of the area are
    /// those of the whole image, to the bit; damage elsewhere in the file may go unnoticed.
    ///
    /// # Errors
    /// As [`decode`](Encoded::decode).
    pub fn decode_part(self, area: Area) -> Result<(Pixels, Area), DecodeProblem> {
        debug_assert!(area.is_within(self.size()));
        match self.kind {
            Kind::Jpeg(header) if area.size != self.size() && !header.is_lossless => {
                let Encoded { bytes, format, stored, orientation, .. } = self;
                guarded(format, || decode_jpeg_part(&header, bytes, stored, orientation, area))
            }
            _ => Ok((self.decode()?, area)),
        }
    }
}

/// Of what is converted to RGB.
const RGB: Stored = Stored { samples: 3, colors: 3, depth: Depth::Eight };

/// RGB bytes as planes.
fn of_rgb(size: Size, data: &[u8], format: Format) -> Result<Raster, DecodeProblem> {
    let mut raster = Raster::zeros(size, 3, Depth::Eight, format.name())?;
    let area = raster.area();
    for (channel, plane) in raster.data.chunks_exact_mut(area).enumerate() {
        plane
            .iter_mut()
            .zip(data.iter().skip(channel).step_by(3))
            .for_each(|(to, from)| *to = f32::from(*from));
    }
    Ok(raster)
}

fn decode_jpeg(
    header: &jpeg_ext::Header,
    bytes: &[u8],
    wanted: Wanted,
) -> Result<jpeg_ext::Decoded, DecodeProblem> {
    let memory = usize::try_from(MAX_ALLOCATION).unwrap_or(usize::MAX);
    let mut decoded = header.decode(bytes, wanted, memory).map_err(DecodeProblem::from_jpeg)?;
    if header.is_cmyk {
        decoded.data = convert::cmyk_to_rgb(&decoded.data);
    }
    Ok(decoded)
}

fn decode_jpeg_part(
    header: &jpeg_ext::Header,
    bytes: &[u8],
    stored: Size,
    orientation: Orientation,
    area: Area,
) -> Result<(Pixels, Area), DecodeProblem> {
    let Area { top, left, size } = stored_area(area, stored, orientation);
    let wanted = Wanted::Part { left, top, width: size.width, height: size.height };
    let part = decode_jpeg(header, bytes, wanted)?;
    let (top, left) = (top - part.top, left - part.left);
    let rgb = rgb_image(part.width, part.height, part.data)?;
    if orientation == Orientation::NoTransforms {
        return Ok((pixels(rgb), Area { top, left, size }));
    }
    let exact = image::imageops::crop_imm(&rgb, left, top, size.width, size.height).to_image();
    let pixels = pixels(oriented(exact, orientation));
    let whole = Area::whole(Size::of(&pixels));
    Ok((pixels, whole))
}

/// Runs a decoder; its panics become errors.
fn guarded<T>(format: Format, decode: impl FnOnce() -> Result<T, DecodeProblem>) -> Result<T, DecodeProblem> {
    guard::caught(|_| true, decode).unwrap_or_else(|reason| Err(DecodeProblem::crashed(format, &reason)))
}

fn check_size(format: ImageFormat, Size { height, width }: Size) -> Result<(), DecodeProblem> {
    match u64::from(width) * u64::from(height) {
        0 => Err(DecodeProblem::Damaged { format: error::name(format), reason: "it has no pixels".into() }),
        pixels if pixels > MAX_PIXELS => Err(DecodeProblem::TooLarge { width, height }),
        _ => Ok(()),
    }
}

fn rgb_image(width: u32, height: u32, data: Vec<u8>) -> Result<RgbImage, DecodeProblem> {
    // The decoder gives as many bytes as it says.
    ImageBuffer::from_raw(width, height, data).ok_or_else(|| DecodeProblem::Damaged {
        format: error::name(ImageFormat::Jpeg),
        reason: "its pixels do not fill its size".into(),
    })
}

fn pixels(rgb: RgbImage) -> Pixels {
    Pixels { width: rgb.width(), height: rgb.height(), data: rgb.into_raw() }
}

fn oriented(rgb: RgbImage, orientation: Orientation) -> RgbImage {
    if orientation == Orientation::NoTransforms {
        return rgb;
    }
    let mut turned = DynamicImage::ImageRgb8(rgb);
    turned.apply_orientation(orientation);
    turned.into_rgb8()
}

/// The size after a turn.
fn turned(stored: Size, orientation: Orientation) -> Size {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    match orientation {
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => {
            Size { height: stored.width, width: stored.height }
        }
        _ => stored,
    }
}

/// Where an area of the turned image lies in the stored one.
fn stored_area(area: Area, stored: Size, orientation: Orientation) -> Area {
    let Area { top, left, size } = area;
    // Distances of the area from the turned image's lower and right edges.
    let of = turned(stored, orientation);
    let bottom = of.height - top - size.height;
    let right = of.width - left - size.width;
    let swapped = Size { height: size.width, width: size.height };
    match orientation {
        Orientation::NoTransforms => area,
        Orientation::FlipHorizontal => Area { top, left: right, size },
        Orientation::FlipVertical => Area { top: bottom, left, size },
        Orientation::Rotate180 => Area { top: bottom, left: right, size },
        // A quarter turn clockwise brings the stored image's left column to the top.
        Orientation::Rotate90 => Area { top: right, left: top, size: swapped },
        Orientation::Rotate270 => Area { top: left, left: bottom, size: swapped },
        // The turn first, then the mirror.
        Orientation::Rotate90FlipH => Area { top: left, left: top, size: swapped },
        Orientation::Rotate270FlipH => Area { top: right, left: bottom, size: swapped },
    }
}
