//! Which columns of a CSV hold the labels of images that may have several: one with all of them, or
//! one a class, of 0 and 1.

use super::CsvOptions;
use super::columns::{Columns, brief, plain, requested};

/// What people call a column of several labels, beyond what they call one of a single label.
const SET_NAMES: [&str; 7] =
    ["tags", "tag", "attributes", "attributeids", "keywords", "findings", "findinglabels"];

/// Where the columns are.
pub(super) struct SetColumns {
    /// The place of the column of labels is none where each class has a column.
    pub columns: Columns,
    /// Of each class's column, in order: its place.
    pub classes: Vec<usize>,
}

impl SetColumns {
    /// Finds the columns in a header. `holds_paths` tells of a column whether it names files that
    /// are there, `is_binary` whether all its values are 0 or 1.
    ///
    /// # Errors
    /// A column that is not there, twice there, or cannot be told from others.
    pub(super) fn find(
        header: &[String],
        options: &CsvOptions,
        holds_paths: impl Fn(usize) -> bool,
        is_binary: impl Fn(usize) -> bool,
    ) -> Result<SetColumns, String> {
        if let Some(names) = &options.label_columns {
            return SetColumns::given(header, options, names, holds_paths);
        }
        if options.label_column.is_none() {
            let columns = Columns::find_unlabelled(header, options, &holds_paths)?;
            let free: Vec<usize> =
                (0..header.len()).filter(|place| !columns.places.contains(&Some(*place))).collect();
            let (binary, others): (Vec<usize>, Vec<usize>) =
                free.into_iter().partition(|place| is_binary(*place));
            if binary.len() > 1 && others.is_empty() {
                return Ok(SetColumns {
                    columns: Columns { others: Vec::new(), ..columns },
                    classes: binary,
                });
            }
            let is_called_so = |place: &&usize| SET_NAMES.contains(&plain(&header[**place]).as_str());
            let mut named = others.iter().filter(is_called_so);
            if let (Some(only), None) = (named.next(), named.next()) {
                let label_column = Some(header[*only].clone());
                let columns =
                    Columns::find(header, &CsvOptions { label_column, ..options.clone() }, holds_paths)?;
                return Ok(SetColumns { columns, classes: Vec::new() });
            }
            let found = Columns::find(header, options, holds_paths);
            return match found {
                Err(_) if binary.len() > 1 => Err(undecided(header, &binary, &others)),
                found => Ok(SetColumns { columns: found?, classes: Vec::new() }),
            };
        }
        Ok(SetColumns { columns: Columns::find(header, options, holds_paths)?, classes: Vec::new() })
    }

    /// One column a class, as requested.
    fn given(
        header: &[String],
        options: &CsvOptions,
        names: &[String],
        holds_paths: impl Fn(usize) -> bool,
    ) -> Result<SetColumns, String> {
        let mut classes = Vec::new();
        for name in names {
            let place = requested(header, name, "--label_columns")?;
            if classes.contains(&place) {
                return Err(format!("--label_columns names `{}` twice", brief(name)));
            }
            classes.push(place);
        }
        // Whatever a class is called, its column is of no other meaning.
        let mut others = header.to_vec();
        classes.iter().for_each(|place| others[*place].clear());
        let mut columns = Columns::find_unlabelled(&others, options, |place| {
            !classes.contains(&place) && holds_paths(place)
        })?;
        if let Some(path) = columns.places.iter().flatten().find(|place| classes.contains(*place)) {
            let name = brief(&header[*path]);
            return Err(format!("--label_columns: `{name}` holds no labels, but paths, groups or splits"));
        }
        columns.others.retain(|name| !name.is_empty());
        classes.sort_unstable();
        Ok(SetColumns { columns, classes })
    }
}

/// Some columns are of 0 and 1, others are not.
fn undecided(header: &[String], binary: &[usize], others: &[usize]) -> String {
    let names = |places: &[usize]| {
        let more = if places.len() > 8 { ", …" } else { "" };
        let names: Vec<String> =
            places.iter().take(8).map(|place| format!("`{}`", brief(&header[*place]))).collect();
        names.join(", ") + more
    };
    format!(
        "{} hold 0 and 1 as columns of classes do, and {} other values: name the classes' columns with \
         --label_columns, or one column of labels with --csv_label_column",
        names(binary),
        names(others)
    )
}
