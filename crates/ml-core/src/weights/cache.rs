//! Where fetched weights are kept: PyTorch's own folder, so that what either fetched is there for
//! both.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::download::{Download, FetchOptions, Listener, MIRROR};
use super::error::WeightsError;
use super::fetch::fetch;
use super::table::{BASE_URL, Published};

/// PyTorch's folder of fetched weights, and the server that fills it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    base_url: String,
}

impl Cache {
    /// `$TORCH_HOME/hub/checkpoints`, else `$XDG_CACHE_HOME/torch/hub/checkpoints`, else
    /// `~/.cache/torch/hub/checkpoints`; and `$ML_WEIGHTS_MIRROR`, else torchvision's server.
    ///
    /// # Errors
    /// There is no home folder where one is needed, or the mirror is no HTTP address.
    pub fn from_env() -> Result<Cache, WeightsError> {
        Cache::from_variables(
            |name| env::var_os(name).filter(|value| !value.is_empty()),
            env::home_dir().as_deref(),
        )
    }

    pub(super) fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<&Path>,
    ) -> Result<Cache, WeightsError> {
        let below_home = |path: OsString| -> PathBuf {
            let path = PathBuf::from(path);
            match (path.strip_prefix("~"), home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => path,
            }
        };
        let torch_home = variable("TORCH_HOME").map(below_home);
        let caches = || variable("XDG_CACHE_HOME").map(below_home);
        let caches = || caches().or_else(|| home.map(|home| home.join(".cache")));
        let torch_home = torch_home.or_else(|| caches().map(|caches| caches.join("torch")));
        let folder = torch_home.ok_or(WeightsError::NoHome)?.join("hub/checkpoints");
        let base_url =
            variable(MIRROR).map_or_else(|| BASE_URL.into(), |url| url.to_string_lossy().into_owned());
        if !["http://", "https://"].iter().any(|scheme| base_url.starts_with(scheme)) {
            return Err(WeightsError::Mirror { given: base_url });
        }
        Ok(Cache { folder, base_url: base_url.trim_end_matches('/').to_owned() })
    }

    /// Where the files lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file lies once it has been fetched.
    pub fn path(&self, published: &Published) -> PathBuf {
        self.folder.join(published.file)
    }

    /// Where it is fetched from.
    pub fn url(&self, published: &Published) -> String {
        format!("{}/{}", self.base_url, published.file)
    }

    /// The file, if it is there. Its hash is not computed again, as PyTorch does not.
    ///
    /// # Errors
    /// Its size is not the published one, or it cannot be looked at.
    pub fn find(&self, published: &Published) -> Result<Option<PathBuf>, WeightsError> {
        let path = self.path(published);
        match path.metadata() {
            Ok(metadata) if published.sizes().contains(&metadata.len()) => Ok(Some(path)),
            Ok(metadata) => {
                let (found, expected) = (metadata.len(), published.size_mib);
                Err(WeightsError::CachedSize { path, found, expected })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(WeightsError::Cached { path, source }),
        }
    }

    /// The file, fetched if it is not there.
    ///
    /// # Errors
    /// As [`Cache::find`], or it cannot be fetched.
    pub fn get(
        &self,
        published: &Published,
        options: &FetchOptions,
        listener: Listener<'_>,
    ) -> Result<PathBuf, WeightsError> {
        if let Some(path) = self.find(published)? {
            return Ok(path);
        }
        let to = self.path(published);
        let url = self.url(published);
        let download = Download { url: &url, to: &to, sha256: published.sha256, sizes: published.sizes() };
        fetch(&download, options, listener)?;
        Ok(to)
    }
}
