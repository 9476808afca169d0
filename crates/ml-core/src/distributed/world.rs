//! All processes of a training.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use torch_ext::{ProcessGroup, ReduceOp, Reducer, Store};

use super::watch::{Places, SILENCE, STORE_GONE, Watch};
use super::{Backend, DistributedConfig, DistributedError, Environment, Place, Share};

/// How long rank 0 waits for others to learn why it fails: longer than they look for it.
const PARTING: Duration = Duration::from_secs(4);
/// How long the store has to answer: longer than any answer takes.
const ANSWER: Duration = Duration::from_secs(10);
/// Of what a rank says of its failure, so much is passed on.
const MAX_MESSAGE: usize = 4000;

/// All processes of a training, as one of them sees them. In a process that is alone every sum is its
/// own, and nothing is sent.
#[derive(Debug)]
pub struct World(Option<Link>);

#[derive(Debug)]
struct Link {
    // Before the store, which its server may end with.
    group: OnceCell<Arc<ProcessGroup>>,
    watch: Watch,
    peers: Peers,
    /// Of things that rank 0 has told.
    told: Cell<u64>,
    checked: Cell<u64>,
}

impl World {
    /// A process that is alone.
    pub fn alone() -> World {
        World(None)
    }

    /// Finds the others, as the launcher says. They may still be on their way.
    ///
    /// # Errors
    /// The port is taken, or nobody answers.
    pub fn join(environment: Environment, timeout: Duration) -> Result<World, DistributedError> {
        let Environment { rank, master_addr, master_port, has_agent, restart, .. } = &environment;
        let connect = |is_server: bool| {
            let (store, _) = Store::tcp(master_addr, *master_port, is_server, timeout)?;
            // What was told before a restart is of processes that have ended.
            store.prefixed(&format!("ml-train/{restart}"))
        };
        let is_server = *rank == 0 && !has_agent;
        let unreachable = |error: torch_ext::Error| {
            let reason = first_line(&error);
            if is_server && (reason.contains("EADDRINUSE") || reason.contains("address already in use")) {
                return DistributedError::PortTaken { port: *master_port };
            }
            DistributedError::Unreachable {
                rank: *rank,
                address: format!("{master_addr}:{master_port}"),
                reason,
            }
        };
        let store = connect(is_server).map_err(&unreachable)?;
        let watch = Watch::start(connect(false).map_err(&unreachable)?, *rank);
        let (told, checked) = (Cell::new(0), Cell::new(0));
        let peers = Peers { environment, timeout, store: Arc::new(store) };
        Ok(World(Some(Link { group: OnceCell::new(), watch, peers, told, checked })))
    }

    /// As [`World::join`], with the defaults of [`DistributedConfig`]; without an `environment`, this
    /// process is alone.
    ///
    /// # Errors
    /// As there.
    pub fn join_as_launched(environment: Option<Environment>) -> Result<World, DistributedError> {
        let timeout = DistributedConfig::default().timeout();
        environment.map_or(Ok(World::alone()), |environment| World::join(environment, timeout))
    }

    /// Waits until all have come. They must be of one version of this program and have the same
    /// `settings`: (name, value).
    ///
    /// # Errors
    /// As [`World::check`].
    pub fn check_alike(&self, settings: &[(&str, String)]) -> Result<(), DistributedError> {
        let version = format!("{} with libtorch {}", env!("CARGO_PKG_VERSION"), torch_ext::version());
        let facts: Vec<(&str, String)> =
            [("version", version)].into_iter().chain(settings.iter().cloned()).collect();
        self.check(&facts)
    }

    /// This process's number, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |link| link.peers.environment.rank)
    }

    /// How many processes there are, at least 1.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |link| link.peers.environment.world_size)
    }

    /// This process's number on its machine.
    pub fn local_rank(&self) -> usize {
        self.0.as_ref().map_or(0, |link| link.peers.environment.local_rank)
    }

    /// How many processes are on this machine, at least 1.
    pub fn local_size(&self) -> usize {
        self.0.as_ref().map_or(1, |link| link.peers.environment.local_world_size.max(1))
    }

    /// Whether there is no other process.
    pub fn is_alone(&self) -> bool {
        self.0.is_none()
    }

    /// This process's part of steps for which each process takes `accumulated` batches; none of a process
    /// that is alone, which has all.
    pub fn share_of_steps(&self, accumulated: usize) -> Option<Share> {
        (!self.is_alone()).then(|| Share::of_steps(self.rank(), self.size(), accumulated))
    }

    /// This process's part of a pass over all batches, likewise.
    pub fn share_of_pass(&self) -> Option<Share> {
        (!self.is_alone()).then(|| Share::of_pass(self.rank(), self.size()))
    }

    /// Whether this is the process that writes files.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Remembers what this rank does, to be told should the others wait for it.
    pub fn at(&self, place: Place) {
        if let Some(link) = &self.0 {
            link.watch.set(place);
        }
    }

    /// Calls `call` with a message, from another thread, should this rank not notice by itself that
    /// another has failed: because it waits for an image that never comes, say. It is to end the
    /// process.
    pub fn when_others_end(&self, call: impl FnOnce(&str) + Send + 'static) {
        if let Some(link) = &self.0 {
            link.watch.when_others_end(Box::new(call));
        }
    }

    /// What rank 0 gives, on every rank; the others give nothing. Does not take the connection between
    /// the ranks, which can come later.
    ///
    /// # Errors
    /// Rank 0 has failed, or says nothing until the timeout.
    pub fn told(&self, given: Option<Vec<u8>>) -> Result<Vec<u8>, DistributedError> {
        let Some(link) = &self.0 else { return Ok(given.unwrap_or_default()) };
        let key = format!("told/{}", link.told.replace(link.told.get() + 1));
        match given {
            Some(bytes) => {
                link.peers.set(key, bytes.clone())?;
                Ok(bytes)
            }
            None => link.peers.wait_for(key, vec![0]),
        }
    }

    /// Waits for all ranks, and compares what each has: (name, value), the same names in the same
    /// order on each. Differences are told to all.
    ///
    /// # Errors
    /// A rank has something else than rank 0, has failed, or has not come until the timeout.
    pub fn check(&self, facts: &[(&str, String)]) -> Result<(), DistributedError> {
        let Some(link) = &self.0 else { return Ok(()) };
        let round = link.checked.replace(link.checked.get() + 1);
        let key = |rank: usize| format!("facts/{round}/{rank}");
        let own: Vec<&String> = facts.iter().map(|(_, value)| value).collect();
        let text = serde_json::to_vec(&own).map_err(|error| DistributedError::Torch(error.to_string()))?;
        link.peers.set(key(self.rank()), text.clone())?;
        let verdict = format!("verdict/{round}");
        if !self.is_first() {
            let verdict = link.peers.wait_for(verdict, vec![0])?;
            let differs: Option<Difference> = serde_json::from_slice(&verdict).unwrap_or(None);
            return differs.map_or(Ok(()), |difference| Err(difference.into()));
        }
        let mut all = vec![text];
        for rank in 1..self.size() {
            all.push(link.peers.wait_for(key(rank), (rank..self.size()).collect())?);
        }
        let difference = Difference::find(facts, &all);
        let text = serde_json::to_vec(&difference).unwrap_or_default();
        link.peers.set(verdict, text)?;
        difference.map_or(Ok(()), |difference| Err(difference.into()))
    }

    /// Connects the ranks, all of which have come, for tensors on `device`, which is this thread's
    /// current one.
    ///
    /// # Errors
    /// The backend does not suit the device, or no connection can be made.
    pub fn connect(&self, device: Device, config: &DistributedConfig) -> Result<(), DistributedError> {
        let Some(link) = &self.0 else { return Ok(()) };
        let with_nccl = match (config.backend, device.is_cuda()) {
            (Backend::Nccl, false) => {
                return Err(DistributedError::Backend(
                    "nccl is between GPUs, and this process computes on the CPU; use gloo or auto".to_owned(),
                ));
            }
            (Backend::Gloo, _) => false,
            (Backend::Nccl | Backend::Auto, is_cuda) => is_cuda,
        };
        let Environment { rank, world_size, .. } = link.peers.environment;
        let Peers { store, timeout, .. } = &link.peers;
        let group = ProcessGroup::join(store, rank, world_size, *timeout, with_nccl);
        let group = group.map_err(|error| link.peers.lost(&error))?;
        // There is no other: this is called once.
        let _ = link.group.set(Arc::new(group));
        Ok(())
    }

    /// Adds up `values` over all ranks, exactly as long as they are whole numbers below 2^53. The same
    /// ranks add in the same order each time.
    ///
    /// # Errors
    /// A rank has ended, or does not come until the timeout.
    pub fn sum(&self, values: &mut [f64]) -> Result<(), DistributedError> {
        if self.is_alone() || values.is_empty() {
            return Ok(());
        }
        let tensor = Tensor::from_slice(values);
        self.sum_tensor(&tensor)?;
        tensor.copy_data(values, values.len());
        Ok(())
    }

    /// Adds up a tensor over all ranks, in place.
    ///
    /// # Errors
    /// As for [`World::sum`].
    pub fn sum_tensor(&self, tensor: &Tensor) -> Result<(), DistributedError> {
        self.with_group(|group| group.all_reduce(tensor, ReduceOp::Sum))
    }

    /// Whether `flag` is set on any rank.
    ///
    /// # Errors
    /// As for [`World::sum`].
    pub fn any(&self, flag: bool) -> Result<bool, DistributedError> {
        let mut sum = [f64::from(u8::from(flag))];
        self.sum(&mut sum)?;
        Ok(sum[0] > 0.0)
    }

    /// What each rank gives, in their order, on every rank.
    ///
    /// # Errors
    /// As for [`World::sum`].
    pub fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, DistributedError> {
        if self.is_alone() {
            return Ok(vec![bytes.to_vec()]);
        }
        let mut sizes = vec![0.0; self.size()];
        sizes[self.rank()] = bytes.len() as f64;
        self.sum(&mut sizes)?;
        let largest = sizes.iter().copied().fold(0.0, f64::max) as usize;
        let own = Tensor::zeros([largest.max(1) as i64], (Kind::Uint8, Device::Cpu));
        own.narrow(0, 0, bytes.len() as i64).copy_(&Tensor::from_slice(bytes));
        let gathered = self.with_group(|group| group.all_gather(&own))?;
        let bytes = |(tensor, size): (&Tensor, &f64)| {
            let mut bytes = vec![0; *size as usize];
            let count = bytes.len();
            tensor.copy_data(&mut bytes, count);
            bytes
        };
        Ok(gathered.iter().zip(&sizes).map(bytes).collect())
    }

    /// The least that any rank gives, on every rank.
    ///
    /// # Errors
    /// As for [`World::sum`].
    pub fn least(&self, value: u64) -> Result<u64, DistributedError> {
        let all = self.gather(&value.to_le_bytes())?;
        Ok(all
            .iter()
            .filter_map(|bytes| Some(u64::from_le_bytes(bytes.first_chunk().copied()?)))
            .fold(value, u64::min))
    }

    /// What rank 0 gives, on every rank, between connected ranks: for much.
    ///
    /// # Errors
    /// As for [`World::sum`].
    pub fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, DistributedError> {
        if self.is_alone() {
            return Ok(bytes);
        }
        let mut size = [if self.is_first() { bytes.len() as f64 } else { 0.0 }];
        self.sum(&mut size)?;
        let count = size[0] as usize;
        let tensor = if self.is_first() {
            Tensor::from_slice(&bytes)
        } else {
            Tensor::empty([count as i64], (Kind::Uint8, Device::Cpu))
        };
        if count > 0 {
            let tensors = [tensor.shallow_clone()];
            self.with_group(|group| group.broadcast(&tensors, 0))?;
        }
        if self.is_first() {
            return Ok(bytes);
        }
        let mut bytes = vec![0; count];
        tensor.copy_data(&mut bytes, count);
        Ok(bytes)
    }

    /// What makes the gradients of `parameters` means over all ranks; none of a process that is alone.
    ///
    /// # Errors
    /// The parameters differ between ranks, or as for [`World::sum`].
    pub fn reducer(
        &self,
        parameters: &[Tensor],
        config: &DistributedConfig,
    ) -> Result<Option<Reducer>, DistributedError> {
        if self.is_alone() || parameters.is_empty() {
            return Ok(None);
        }
        self.with_group(|group| Reducer::new(group, parameters, config.reducer())).map(Some)
    }

    /// The connected processes; none of one that is alone.
    pub fn group(&self) -> Option<&Arc<ProcessGroup>> {
        self.0.as_ref()?.group.get()
    }

    /// Tells the others that this process fails, and why, so that they can say so. Whether it is the
    /// first to fail, or the others cannot be told.
    pub fn fail(&self, message: &str) -> bool {
        let Some(link) = &self.0 else { return true };
        let text: String = message.chars().take(MAX_MESSAGE).collect();
        link.peers.within(ANSWER, move |peers| peers.fail(&text)).unwrap_or(true)
    }

    /// Tells the others of an error. Whether this process is to show it: those that end because of
    /// another's have nothing to add, but for rank 0, whose output is looked at.
    pub fn tell_failure(&self, error: &impl std::fmt::Display) -> bool {
        self.fail(&format!("{error:#}")) || self.is_first()
    }

    /// Why a call that all ranks make has failed with this message of libtorch's: because of another
    /// rank, which is named if it can be found out.
    pub fn explain(&self, message: &str) -> DistributedError {
        match &self.0 {
            None => DistributedError::Torch(message.to_owned()),
            Some(link) => link.peers.lost_with(message),
        }
    }

    fn with_group<T>(
        &self,
        call: impl FnOnce(&ProcessGroup) -> Result<T, torch_ext::Error>,
    ) -> Result<T, DistributedError> {
        let link = self.0.as_ref().zip(self.0.as_ref().and_then(|link| link.group.get()));
        let Some((link, group)) = link else {
            return Err(DistributedError::Torch("the processes are not connected".to_owned()));
        };
        call(group).map_err(|error| link.peers.lost(&error))
    }
}

/// The other processes, by way of the store.
#[derive(Clone, Debug)]
struct Peers {
    environment: Environment,
    timeout: Duration,
    store: Arc<Store>,
}

impl Peers {
    /// What `call` gives; none if it takes longer than `limit`, and is then left to itself: c10d's stores
    /// wait for ever where the network is gone.
    fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        call: impl FnOnce(&Peers) -> T + Send + 'static,
    ) -> Option<T> {
        let (peers, (send, receive)) = (self.clone(), channel());
        let answer = move || {
            // Nobody may wait for it any more.
            let _ = send.send(call(&peers));
        };
        std::thread::Builder::new().name("store".to_owned()).spawn(answer).ok()?;
        receive.recv_timeout(limit).ok()
    }

    /// Sets the value of a key.
    fn set(&self, key: String, value: Vec<u8>) -> Result<(), DistributedError> {
        let set = self.within(self.timeout, move |peers| peers.store.set(&key, &value));
        match set {
            Some(set) => set.map_err(|error| self.lost(&error)),
            None => Err(self.silent()),
        }
    }

    /// The value of a key that one of the ranks `of` is to set.
    fn wait_for(&self, key: String, of: Vec<usize>) -> Result<Vec<u8>, DistributedError> {
        let found = self.within(self.timeout + ANSWER, move |peers| peers.find(&key, &of));
        found.unwrap_or_else(|| Err(self.silent()))
    }

    fn find(&self, key: &str, of: &[usize]) -> Result<Vec<u8>, DistributedError> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let gone = |error: torch_ext::Error| gone(&first_line(&error));
            if self.store.has(key).map_err(gone)? {
                return self.store.get(key, self.timeout).map_err(gone);
            }
            if let Some(failed) = self.failed().map_err(gone)? {
                return Err(failed);
            }
            if started.elapsed() > self.timeout {
                return Err(self.missing(of));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Those of the ranks `of` that have told nothing, or which wait for what they are to tell.
    fn missing(&self, of: &[usize]) -> DistributedError {
        let absent = |rank: &usize| !self.store.has(&format!("where/{rank}")).unwrap_or(false);
        let absent: Vec<usize> = of.iter().copied().filter(absent).collect();
        if absent.is_empty() {
            return self.reason(&format!("nothing came within {} s", self.timeout.as_secs()));
        }
        DistributedError::Missing { missing: absent, timeout: self.timeout }
    }

    /// Tells that this process fails; whether it is the first. The one that serves the store stays until
    /// the others have read it.
    fn fail(&self, text: &str) -> bool {
        let Environment { rank, world_size, has_agent, .. } = self.environment;
        // They find out that it has ended in any case; the first to fail is the one to name.
        let is_first_to_fail = match self.store.has("failed") {
            Ok(true) => false,
            Ok(false) => self.store.set("failed", format!("{rank} {text}").as_bytes()).is_ok(),
            Err(_) => true,
        };
        let key = |rank: usize| format!("left/{rank}");
        // A rank that cannot say so is not waited for any longer than the others.
        let _ = self.store.set(&key(rank), b"");
        let until = Instant::now() + PARTING;
        let has_left = |rank: usize| self.store.has(&key(rank)).unwrap_or(true);
        while rank == 0 && !has_agent && Instant::now() < until && !(1..world_size).all(has_left) {
            std::thread::sleep(Duration::from_millis(20));
        }
        is_first_to_fail
    }

    /// What another rank said when it failed.
    fn failed(&self) -> Result<Option<DistributedError>, torch_ext::Error> {
        if !self.store.has("failed")? {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&self.store.get("failed", self.timeout)?).into_owned();
        let found = text.split_once(' ').and_then(|(rank, message)| {
            let rank = rank.parse().ok().filter(|rank| *rank != self.environment.rank)?;
            Some(DistributedError::Failed { rank, message: message.to_owned() })
        });
        Ok(found)
    }

    /// A call that all ranks are to make has failed: because another has, if it says so.
    fn lost(&self, error: &torch_ext::Error) -> DistributedError {
        self.lost_with(&first_line(error))
    }

    fn lost_with(&self, reason: &str) -> DistributedError {
        let text = reason.to_owned();
        self.within(ANSWER, move |peers| peers.reason(&text)).unwrap_or_else(|| gone(reason))
    }

    fn reason(&self, reason: &str) -> DistributedError {
        let Environment { rank, world_size, .. } = self.environment;
        let before = Places::read(&self.store, world_size);
        let until = Instant::now() + SILENCE;
        while Instant::now() < until {
            match self.failed() {
                Ok(Some(failed)) => return failed,
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                Err(_) => return gone(reason),
            }
        }
        let where_they_are = Places::read(&self.store, world_size).stragglers(&before, rank);
        DistributedError::Lost { reason: reason.to_owned(), where_they_are }
    }

    fn silent(&self) -> DistributedError {
        gone(&format!("nothing came within {} s", self.timeout.as_secs()))
    }
}

/// The store does not answer.
fn gone(reason: &str) -> DistributedError {
    DistributedError::Lost { reason: reason.to_owned(), where_they_are: vec![STORE_GONE.to_owned()] }
}

/// c10d's messages go on for lines.
fn first_line(error: &torch_ext::Error) -> String {
    error.message().lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// What is not the same on all ranks.
#[derive(serde::Serialize, serde::Deserialize)]
struct Difference {
    what: String,
    others: Vec<usize>,
    size: usize,
    theirs: String,
}

impl Difference {
    /// The first of `facts` in which a rank's values, as JSON, differ from rank 0's.
    fn find(facts: &[(&str, String)], all: &[Vec<u8>]) -> Option<Difference> {
        let values: Vec<Vec<String>> =
            all.iter().map(|text| serde_json::from_slice(text).unwrap_or_default()).collect();
        facts.iter().enumerate().find_map(|(place, (what, own))| {
            let other = |values: &Vec<String>| values.get(place) != Some(own);
            let others: Vec<usize> = (0..values.len()).filter(|&rank| other(&values[rank])).collect();
            let first = others.first().and_then(|&rank| values[rank].get(place));
            let has = if others.len() == 1 { "has" } else { "have" };
            let theirs = first.map_or_else(
                || format!("{has} another version of this program"),
                |theirs| {
                    let common = common_words(theirs, own);
                    let [theirs, own] = [theirs, own].map(|text| excerpt(text, common));
                    format!("{has} `{theirs}`, rank 0 has `{own}`")
                },
            );
            let what = (*what).to_owned();
            (!others.is_empty()).then_some(Difference { what, others, size: values.len(), theirs })
        })
    }
}

/// Bytes of the words that two texts begin with alike.
fn common_words(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    one.as_bytes()[..same].iter().rposition(|&byte| byte == b' ').map_or(0, |space| space + 1)
}

/// A few words of `text` behind its first `skipped` bytes.
fn excerpt(text: &str, skipped: usize) -> String {
    let rest = text.get(skipped..).unwrap_or(text);
    let mut rest: String = rest.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if rest.chars().count() > 60 {
        rest = rest.chars().take(57).chain("...".chars()).collect();
    }
    if skipped > 0 { format!("... {rest}") } else { rest }
}

impl From<Difference> for DistributedError {
    fn from(Difference { what, others, size, theirs }: Difference) -> DistributedError {
        DistributedError::Differs { what, others, size, theirs }
    }
}
