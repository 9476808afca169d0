//! What can be found, and how bad it is.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Training will fail, or its metrics will be wrong.
    Error,
    /// Training works, and is likely to be worse than it could be.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// All, worst first.
    pub const ALL: [Severity; 3] = [Severity::Error, Severity::Warning, Severity::Note];

    /// `error`, `warning`, `note`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// That of the kind.
    pub severity: Severity,
    /// Relative to [`Report::root`](super::Report::root), as [`shown`](super::shown) writes it;
    /// absent if the finding is about the data set as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The class that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The split that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What, and what to do, in one line.
    pub message: String,
    /// Of duplicates: all of the group, the first included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The images that it is about, as numbers of the listing.
    #[serde(skip)]
    pub(super) images: Vec<u32>,
}

impl Finding {
    /// A finding that names neither path, class nor split yet.
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Finding {
        Finding {
            kind,
            severity: kind.severity(),
            path: None,
            class: None,
            split: None,
            message: message.into(),
            paths: Vec::new(),
            images: Vec::new(),
        }
    }
}

impl Kind {
    /// Whether it says that a listed image cannot be decoded.
    pub fn is_unusable(self) -> bool {
        use Kind::{Damaged, EmptyFile, NotAnImage, TooLarge, Truncated, Unreadable, Unsupported};
        matches!(self, Unreadable | EmptyFile | NotAnImage | Truncated | Damaged | Unsupported | TooLarge)
    }
}

/// One row a kind: name in the report, severity, title, what it means and what to do.
macro_rules! kinds {
    ($($kind:ident $name:literal $severity:ident $title:literal $meaning:literal;)*) => {
        /// Kinds of findings, worst first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $(#[doc = $meaning] #[serde(rename = $name)] $kind,)*
        }

        impl Kind {
            /// All, in the order in which they are reported.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// As in the JSON report.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Kind::$kind => Severity::$severity,)* }
            }

            /// A heading.
            pub fn title(self) -> &'static str {
                match self { $(Kind::$kind => $title,)* }
            }

            /// What it means and what to do.
            pub fn meaning(self) -> &'static str {
                match self { $(Kind::$kind => $meaning,)* }
            }
        }
    };
}

kinds! {
    DuplicateAcrossSplits "duplicate_across_splits" Error "Leaks: the same image in several splits"
        "The same file or the same pixels in more than one split: metrics measured on them are too good. Keep one copy, or split again so that duplicates stay together.";
    NearDuplicateAcrossSplits "near_duplicate_across_splits" Error "Leaks: near duplicates in several splits"
        "Images that look alike (re-encoded, resized, neighboring frames) in more than one split: metrics measured on them are too good. Split again so that they stay together.";
    ListedTwice "listed_twice" Error "Listed in several splits"
        "One file is listed in more than one index file, or twice in one. Run ml-split again with --force.";
    DuplicateAcrossClasses "duplicate_across_classes" Error "Contradicting labels: the same image in several classes"
        "The same file or the same pixels under more than one label: at least one is wrong. Keep the right one.";
    Unreadable "unreadable" Error "Unreadable files"
        "There is no permission to read the file. Make it readable, or remove it.";
    Missing "missing" Error "Missing files"
        "An index file lists an image that does not exist. Restore it, or run ml-split again with --force.";
    DanglingLink "dangling_link" Error "Links that lead nowhere"
        "A link to a file that does not exist. Restore the file, or remove the link.";
    EmptyFile "empty_file" Error "Empty files"
        "Files without content. Copy them again, or remove them.";
    NotAnImage "not_a_picture" Error "Not images"
        "Files with an image suffix whose content is something else. Remove them, or replace them by the images.";
    Truncated "truncated" Error "Truncated images"
        "The file ends before the image does. Copy or download it again.";
    Damaged "damaged" Error "Damaged images"
        "The content breaks the rules of its format. Copy or download it again.";
    Unsupported "unsupported" Error "Unsupported images"
        "Images of a kind that is not supported. Convert them to PNG or JPEG.";
    TooLarge "too_large" Error "Oversized images"
        "More pixels or bytes than are decoded (178,956,970 pixels, 2 GiB): decompression bombs, or scans to be made smaller.";
    BadName "bad_name" Error "Names that cannot be used"
        "Index files hold one UTF-8 path a line, so a name must be valid UTF-8 without line breaks. Rename it.";
    LinkLoop "link_loop" Error "Link loops"
        "A link that leads back to a folder that contains it. Remove it.";
    UnreadableFolder "unreadable_folder" Error "Unreadable folders"
        "There is no permission to list the folder. Make it readable, or remove it.";
    BesideRaw "beside_raw" Error "Folders beside `raw`"
        "Either `raw` holds the classes, or it is one of them: ml-split refuses to guess. Move the other folders away, or rename `raw`.";
    BrokenSplits "broken_splits" Error "Broken split files"
        "The manifest or an index file is invalid. Run ml-split again with --force.";
    NoImages "no_pictures" Error "No images"
        "There is nothing to train on. Put each class's images into a folder of its name.";
    SameLooks "same_looks" Error "Classes whose names look the same"
        "Names that differ in how they are written only (another Unicode normalization, letters of another alphabet, blanks or invisible characters): most likely one class. Rename one, or put their images together.";
    EmptyClass "empty_class" Error "Empty classes"
        "A class without usable images (to train on, if there are splits). Add some, or remove the class.";
    WrongSuffix "wrong_suffix" Warning "Suffix and content differ"
        "The suffix names another format than the content has. Here the content counts; other programs may fail. Rename the file.";
    OneColor "one_color" Warning "Images of one colour"
        "Every pixel has the same value: often a failed download or an empty scan. Remove it if it shows nothing.";
    NarrowRange "narrow_range" Warning "Nearly black: 12 bits or fewer in 16"
        "Grayscale or color of 16 bits that uses the lower 12 or fewer: of 16 bits the high byte is kept, so the image comes out nearly black. Scale the values to the full range first.";
    OnlyAlpha "only_alpha" Warning "All content in the alpha channel"
        "All pixels have the same color and differ in alpha only. Alpha is dropped, so nothing is left. Flatten the image onto a background first.";
    Duplicate "duplicate" Warning "Duplicates within a class"
        "The same file or the same pixels several times in one class: they count several times, and must not be spread over splits. Keep one.";
    NearDuplicateAcrossClasses "near_duplicate_across_classes" Warning "Near duplicates in several classes"
        "Images that look alike under different labels. Look at them: one label may be wrong.";
    TinyClass "tiny_class" Warning "Tiny classes"
        "Too few images to train on, and for metrics of the class to mean much. Add some.";
    MissingInSplit "missing_in_split" Warning "Classes that a split lacks"
        "Nothing is measured on the class in that split. Move some of its images there.";
    Imbalance "imbalance" Warning "Imbalance"
        "The largest class has many times the images of the smallest, and will be preferred. Consider class weights or balanced sampling, or add images.";
    OneClass "one_class" Warning "A single class"
        "With one class there is nothing to classify.";
    LabelsTogether "labels_together" Warning "Labels that always go together"
        "Where images have several labels: whichever image has one of two labels has the other. They are one class to a model. Merge them, or add images with one of them.";
    VerySmall "very_small" Warning "Very small images"
        "Few pixels: thumbnails, icons or tracking pixels, where the others are photographs.";
    OddShape "odd_shape" Warning "Odd aspect ratios"
        "Much wider or taller than the data set's median: resizing distorts them, cropping loses most of them.";
    CropLoss "crop_loss" Warning "Center crops that lose much"
        "Many images are so wide or tall that a square from their middle is little of them. Consider transforms.fit: pad, which shows them whole.";
    IgnoredImage "ignored_picture" Warning "Images that are not used because of their names"
        "The content is an image, but the suffix is none that is read, so it is left out. Rename it, or convert it if its format is not supported.";
    NoClass "no_class" Warning "Images without a class"
        "They lie beside the class folders instead of in one, and are not used.";
    FolderTwice "folder_twice" Warning "Folders reached twice"
        "A link leads to a folder of the same class that is listed already, so its images would count twice. Remove the link.";
    NearDuplicate "near_duplicate" Note "Near duplicates within a class"
        "Images that look alike. Keep them in one split.";
    OddSize "odd_size" Note "Odd sizes"
        "Much larger or smaller than the data set's median.";
    ColorMix "color_mix" Note "Other colour formats"
        "Grayscale, transparent, CMYK or 16-bit images among others. All are converted to 8-bit RGB: alpha is dropped, 16 bits keep the high byte.";
    ExifOrientation "exif_orientation" Note "Turned by EXIF orientation"
        "Stored rotated or mirrored, and set upright on reading. Programs that ignore EXIF see them rotated.";
    Animated "animated" Note "Animated images"
        "Only the first frame or page is used.";
    LabelCardinality "label_cardinality" Note "Labels an image"
        "Where images have several labels: how many they have on average (the cardinality), the share of the classes that is (the density), and the fewest and the most.";
    NoLabels "no_labels" Note "Images without labels"
        "Where images have several labels: images with none count as examples of no class. If they were not labelled, remove them.";
    NotInSplit "not_in_split" Note "In no split"
        "These images are not used. Run ml-split again with --force if they are new.";
    IgnoredFile "ignored_file" Note "Other files"
        "Files without an image suffix; they are left out.";
    LeftOut "left_out" Note "Left out"
        "Hidden files, and what systems and their tools leave behind (Thumbs.db, __MACOSX, @eaDir): neither classes nor images.";
    SearchCut "search_cut" Note "Search for near duplicates cut short"
        "So many images look alike that not all were compared with one another: some near duplicates may be missing.";
}
