//! Which columns of a CSV hold paths, labels, groups and splits: as requested, by the names that
//! they usually have, or by what they hold.

use super::CsvOptions;

/// Columns with a meaning; the first two are needed.
const COLUMNS: [&str; 4] = ["path", "label", "group", "split"];
/// The flags that choose them.
const FLAGS: [&str; 4] =
    ["--csv_path_column", "--csv_label_column", "--csv_group_column", "--csv_split_column"];
/// What else people call the columns of paths and of labels; in lower case, letters and digits
/// only.
const PATH_NAMES: [&str; 24] = [
    "paths",
    "file",
    "files",
    "filename",
    "filenames",
    "filepath",
    "fname",
    "image",
    "images",
    "imagepath",
    "imagefile",
    "imagefilename",
    "imagename",
    "imageid",
    "imageindex",
    "img",
    "imgpath",
    "imgfile",
    "imgname",
    "imgid",
    "photo",
    "picture",
    "id",
    "name",
];
const LABEL_NAMES: [&str; 18] = [
    "labels",
    "class",
    "classes",
    "classname",
    "classlabel",
    "category",
    "categories",
    "categoryname",
    "labelname",
    "target",
    "targets",
    "dx",
    "diagnosis",
    "species",
    "breed",
    "y",
    "groundtruth",
    "gt",
];

/// Where the columns are.
pub(super) struct Columns {
    /// Of [`COLUMNS`], in the header.
    pub places: [Option<usize>; 4],
    /// Columns that mean nothing here.
    pub others: Vec<String>,
}

impl Columns {
    /// Finds the columns in a header. `holds_paths` tells of a column whether it names files that
    /// are there.
    ///
    /// # Errors
    /// A column that is not there, twice there, or cannot be told from others.
    pub(super) fn find(
        header: &[String],
        options: &CsvOptions,
        holds_paths: impl Fn(usize) -> bool,
    ) -> Result<Columns, String> {
        Columns::find_keys(header, options, &[0, 1, 2, 3], holds_paths)
    }

    /// As [`Columns::find`], but for the column of labels.
    ///
    /// # Errors
    /// As there.
    pub(super) fn find_unlabelled(
        header: &[String],
        options: &CsvOptions,
        holds_paths: impl Fn(usize) -> bool,
    ) -> Result<Columns, String> {
        Columns::find_keys(header, options, &[0, 2, 3], holds_paths)
    }

    /// Those of [`COLUMNS`] that `keys` name.
    fn find_keys(
        header: &[String],
        options: &CsvOptions,
        keys: &[usize],
        holds_paths: impl Fn(usize) -> bool,
    ) -> Result<Columns, String> {
        let wanted =
            [&options.path_column, &options.label_column, &options.group_column, &options.split_column];
        let mut places = [None; 4];
        for (key, wanted) in wanted.into_iter().enumerate().filter(|(key, _)| keys.contains(key)) {
            places[key] = match wanted {
                Some(wanted) => Some(requested(header, wanted, FLAGS[key])?),
                None => None,
            };
        }
        for (key, name) in COLUMNS.iter().enumerate() {
            if places[key].is_some() || !keys.contains(&key) {
                continue;
            }
            let mut found = (0..header.len())
                .filter(|place| header[*place].eq_ignore_ascii_case(name) && !places.contains(&Some(*place)));
            let (first, second) = (found.next(), found.next());
            if second.is_some() {
                return Err(format!("the header has the column `{name}` twice"));
            }
            places[key] = first;
        }
        let free = |places: &[Option<usize>; 4]| -> Vec<usize> {
            (0..header.len()).filter(|place| !places.contains(&Some(*place))).collect()
        };
        let called = |free: Vec<usize>, names: &[&str]| -> Vec<usize> {
            free.into_iter().filter(|place| names.contains(&plain(&header[*place]).as_str())).collect()
        };
        if places[0].is_none() {
            let by_name = called(free(&places), &PATH_NAMES);
            places[0] = match by_name[..] {
                [only] => Some(only),
                // Of several, or of none, the one whose values are files.
                _ => {
                    let candidates = if by_name.is_empty() { free(&places) } else { by_name };
                    let mut files = candidates.into_iter().filter(|place| holds_paths(*place));
                    files.next().filter(|_| files.next().is_none())
                }
            };
        }
        if places[1].is_none() && keys.contains(&1) {
            let by_name = called(free(&places), &LABEL_NAMES);
            let left = free(&places);
            places[1] = match (&by_name[..], &left[..]) {
                ([only], _) => Some(*only),
                // Beside the paths, what else could it be, unless it is misspelt?
                ([], [only]) if places[0].is_some() && near(&header[*only]).is_none() => Some(*only),
                _ => None,
            };
        }
        // Close to a known name, a column is more likely misspelt than meant to be left out.
        for place in free(&places) {
            if let Some(key) = near(&header[place]).filter(|key| places[*key].is_none() && keys.contains(key))
            {
                let (name, flag) = (&header[place], FLAGS[key]);
                return Err(format!(
                    "the header has a column `{}`; did you mean `{}`? ({flag} `{}` takes it as it is)",
                    brief(name),
                    COLUMNS[key],
                    brief(name)
                ));
            }
        }
        for key in [0, 1] {
            if places[key].is_none() && keys.contains(&key) {
                return Err(missing(header, key));
            }
        }
        let others = free(&places).into_iter().map(|place| header[place].clone()).collect();
        Ok(Columns { places, others })
    }

    /// The columns that are not called as they are by default, in words.
    pub(super) fn note(&self, header: &[String]) -> Option<String> {
        let renamed: Vec<String> = (0..COLUMNS.len())
            .filter_map(|key| Some((COLUMNS[key], &header[self.places[key]?])))
            .filter(|(name, column)| !column.eq_ignore_ascii_case(name))
            .map(|(name, column)| format!("{name} = `{}`", brief(column)))
            .collect();
        (!renamed.is_empty()).then(|| {
            format!("columns: {} (--csv_path_column, --csv_label_column choose others)", renamed.join(", "))
        })
    }
}

/// The column of this name.
pub(super) fn requested(header: &[String], wanted: &str, flag: &str) -> Result<usize, String> {
    let find = |is: &dyn Fn(&String) -> bool| header.iter().position(is);
    let exact = find(&|name| name == wanted);
    exact.or_else(|| find(&|name| name.eq_ignore_ascii_case(wanted.trim()))).ok_or_else(|| {
        format!("there is no column `{}` ({flag}); there are {}", brief(wanted), shown(header))
    })
}

fn missing(header: &[String], key: usize) -> String {
    let (name, flag) = (COLUMNS[key], FLAGS[key]);
    let there = shown(header);
    if header.iter().any(|name| crate::dataset::is_image(name.trim().as_ref())) {
        return format!(
            "the first line is not a header: write one above it that names the columns, such as `path,label` \
             (it has {there})"
        );
    }
    format!("no column is clearly the {name}; there are {there}: choose one with {flag}")
}

/// Letters and digits in lower case.
pub(super) fn plain(name: &str) -> String {
    name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

/// The key that a name is close to.
fn near(name: &str) -> Option<usize> {
    let lower = name.to_lowercase();
    COLUMNS.iter().position(|known| strsim::damerau_levenshtein(known, &lower) == 1)
}

pub(super) fn brief(name: &str) -> String {
    name.chars().take(40).collect::<String>().escape_debug().to_string()
}

/// A few names, each short and on one line.
fn shown(names: &[String]) -> String {
    if names.iter().all(String::is_empty) {
        return "none".to_owned();
    }
    let short = |name: &String| format!("`{}`", brief(name));
    let more = if names.len() > 12 { ", …" } else { "" };
    names.iter().take(12).map(short).collect::<Vec<_>>().join(", ") + more
}
