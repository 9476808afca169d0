//! torchvision 0.26's published classification weights, as data: `published.csv`, which
//! `tests/reference/weights_table.py` prints from torchvision's own enums.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use csv::StringRecord;
use ml_data::geometry::Size;
use ml_data::setting::Auto;
use ml_data::transform::{Interpolation, Normalize, Probability, RandomResizedCrop, Resize, TransformConfig};

/// Where torchvision's files lie.
pub const BASE_URL: &str = "https://download.pytorch.org/models";

pub(super) const CSV: &str = include_str!("published.csv");

const INVARIANT: &str = "the compiled-in table is what the test has compared";

static RECORDS: LazyLock<Vec<StringRecord>> = LazyLock::new(|| {
    let records = csv::Reader::from_reader(CSV.as_bytes()).into_records();
    records.collect::<Result<_, _>>().expect(INVARIANT)
});

static TABLE: LazyLock<Vec<Published>> =
    LazyLock::new(|| RECORDS.iter().map(Published::read).collect::<Option<_>>().expect(INVARIANT));

/// A file of weights that torchvision publishes for one of its classification networks.
#[derive(Debug, PartialEq)]
pub struct Published {
    /// The network's name.
    pub architecture: &'static str,
    /// torchvision's enum, as in `ResNet50_Weights`.
    pub enumeration: &'static str,
    /// Its member, as in `IMAGENET1K_V2`.
    pub member: &'static str,
    /// Whether it is the enum's `DEFAULT`.
    pub is_default: bool,
    /// The file's name below [`BASE_URL`] and in the cache.
    pub file: &'static str,
    /// The first hexadecimal digits of the file's SHA-256; its name holds them too.
    pub sha256: &'static str,
    /// In units of 2²⁰ bytes, to three places.
    pub size_mib: f64,
    /// Elements of all parameters.
    pub parameters: u64,
    /// Billions of multiply-adds for one image of the crop's size.
    pub gflops: f64,
    /// Accuracy on ImageNet-1K's validation images in percent, where it is known.
    pub acc1: Option<f64>,
    /// As `acc1`, of the first five guesses.
    pub acc5: Option<f64>,
    /// Classes of the classifier; 0 where its weights are of no use and only the layers before it
    /// are meant.
    pub classes: u32,
    /// The evaluation transform's size of the shorter side, in pixels.
    pub resize: u32,
    /// Its square crop, in pixels.
    pub crop: u32,
    /// How it resizes, with antialiasing.
    pub interpolation: Interpolation,
    /// What it subtracts and divides by.
    pub normalize: Normalize,
    /// The smallest side of an image that the network takes with these weights, in pixels.
    pub min_size: u32,
}

impl Published {
    /// All of them, sorted by network.
    pub fn all() -> &'static [Published] {
        &TABLE
    }

    /// Those for the network of this name.
    pub fn of(architecture: &str) -> impl Iterator<Item = &'static Published> {
        Published::all().iter().filter(move |published| published.architecture == architecture)
    }

    /// torchvision's full name: `ResNet50_Weights.IMAGENET1K_V2`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.enumeration, self.member)
    }

    /// Bytes that the file may have: the table knows its size to a thousandth of 2²⁰, rounded or
    /// cut off.
    pub fn sizes(&self) -> RangeInclusive<u64> {
        let unit = f64::from(1 << 20);
        ((self.size_mib - 0.001) * unit) as u64..=((self.size_mib + 0.001) * unit).ceil() as u64
    }

    /// What torchvision evaluates these weights with: the shorter side resized, the middle cut out,
    /// normalised.
    pub fn eval_transform(&self) -> TransformConfig {
        TransformConfig {
            resize: Some(Resize::ShorterSide(self.resize)),
            center_crop: Some(self.crop_size()),
            ..self.common()
        }
    }

    /// The usual training transform to go with it: random crops of the evaluation's size, flipped
    /// at random.
    pub fn train_transform(&self) -> TransformConfig {
        TransformConfig {
            random_resized_crop: Some(RandomResizedCrop {
                size: self.crop_size(),
                scale: RandomResizedCrop::DEFAULT_SCALE,
                ratio: RandomResizedCrop::DEFAULT_RATIO,
            }),
            random_horizontal_flip: Probability(0.5),
            ..self.common()
        }
    }

    fn common(&self) -> TransformConfig {
        TransformConfig {
            normalize: Some(Auto::Value(self.normalize.clone())),
            interpolation: self.interpolation,
            ..TransformConfig::default()
        }
    }

    fn crop_size(&self) -> Size {
        Size { height: self.crop, width: self.crop }
    }

    /// A row of the table.
    fn read(row: &'static StringRecord) -> Option<Published> {
        let mut fields = row.iter();
        let mut next = || fields.next();
        let numbers = |text: &str| text.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>();
        let known = |percent: f64| (!percent.is_nan()).then_some(percent);
        let published = Published {
            architecture: next()?,
            enumeration: next()?,
            member: next()?,
            is_default: next()?.parse().ok()?,
            file: next()?,
            sha256: next()?,
            size_mib: next()?.parse().ok()?,
            parameters: next()?.parse().ok()?,
            gflops: next()?.parse().ok()?,
            acc1: known(next()?.parse().ok()?),
            acc5: known(next()?.parse().ok()?),
            classes: next()?.parse().ok()?,
            resize: next()?.parse().ok()?,
            crop: next()?.parse().ok()?,
            interpolation: match next()? {
                "bilinear" => Interpolation::Bilinear,
                "bicubic" => Interpolation::Bicubic,
                _ => return None,
            },
            normalize: Normalize { mean: numbers(next()?)?, std: numbers(next()?)? },
            min_size: next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(published)
    }
}
