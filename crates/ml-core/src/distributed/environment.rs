//! What a launcher tells a process through its environment: `torchrun`, a Kubernetes operator, or
//! Slurm's `srun`.

use super::DistributedError;

/// Where a process stands among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// This process's number, from 0.
    pub rank: usize,
    /// How many processes there are, at least 2.
    pub world_size: usize,
    /// This process's number on its machine.
    pub local_rank: usize,
    /// Processes on its machine.
    pub local_world_size: usize,
    /// The machine on which they find each other.
    pub master_addr: String,
    /// Its port.
    pub master_port: u16,
    /// Whether the launcher serves that port; else rank 0 does.
    pub has_agent: bool,
    /// How often the launcher has started these processes again.
    pub restart: u64,
    /// How often it will, in all; 0 where it does not say.
    pub max_restarts: u64,
}

/// Any of these says that there are several processes.
const TORCH: [&str; 3] = ["RANK", "WORLD_SIZE", "LOCAL_RANK"];

impl Environment {
    /// As the variables of this process give it.
    ///
    /// # Errors
    /// As [`Environment::read`].
    pub fn of_process() -> Result<Option<Environment>, DistributedError> {
        Environment::read(|name| std::env::var(name).ok())
    }

    /// As `variable` gives it; none of a process that is alone.
    ///
    /// # Errors
    /// Variables are missing, are no numbers, or contradict each other; all of them are named.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Environment>, DistributedError> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        if TORCH.iter().any(|name| variable(name).is_some()) {
            return torch(&variable);
        }
        // Outside of a step of srun's, `SLURM_NTASKS` says what was asked for, not what this is one of.
        if variable("SLURM_STEP_ID").is_some() && variable("SLURM_PROCID").is_some() {
            return slurm(&variable);
        }
        Ok(None)
    }
}

fn number(
    variable: &impl Fn(&str) -> Option<String>,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<usize> {
    let Some(text) = variable(name) else {
        problems.push(format!("{name} is not set"));
        return None;
    };
    let number = text.trim().parse().ok();
    if number.is_none() {
        problems.push(format!("{name} is `{text}`, which is not a whole number from 0 up"));
    }
    number
}

fn torch(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<Environment>, DistributedError> {
    let mut problems = Vec::new();
    let mut required = |name: &str| number(variable, name, &mut problems);
    let (rank, world_size) = (required("RANK"), required("WORLD_SIZE"));
    if world_size == Some(1) && rank == Some(0) {
        return Ok(None);
    }
    let master_port = required("MASTER_PORT");
    // Operators that start one process a machine leave these out.
    let optional = |name: &str, default: usize, problems: &mut Vec<String>| match variable(name) {
        None => Some(default),
        Some(_) => number(variable, name, problems),
    };
    let local_rank = optional("LOCAL_RANK", 0, &mut problems);
    let least = local_rank.map_or(1, |rank| rank.saturating_add(1));
    let local_world_size = optional("LOCAL_WORLD_SIZE", least, &mut problems);
    let restart = optional("TORCHELASTIC_RESTART_COUNT", 0, &mut problems);
    let max_restarts = optional("TORCHELASTIC_MAX_RESTARTS", 0, &mut problems);
    let master_addr = variable("MASTER_ADDR");
    if master_addr.is_none() {
        problems.push("MASTER_ADDR is not set".to_owned());
    }
    let environment = (|| {
        Some(Environment {
            rank: rank?,
            world_size: world_size?,
            local_rank: local_rank?,
            local_world_size: local_world_size?,
            master_addr: master_addr?,
            master_port: port(master_port?, &mut problems)?,
            has_agent: variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True"),
            restart: restart? as u64,
            max_restarts: max_restarts? as u64,
        })
    })();
    checked(environment, problems)
}

fn slurm(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<Environment>, DistributedError> {
    let mut problems = Vec::new();
    let rank = number(variable, "SLURM_PROCID", &mut problems);
    let tasks =
        if variable("SLURM_STEP_NUM_TASKS").is_some() { "SLURM_STEP_NUM_TASKS" } else { "SLURM_NTASKS" };
    let world_size = number(variable, tasks, &mut problems);
    if world_size == Some(1) && rank == Some(0) {
        return Ok(None);
    }
    let local_rank = number(variable, "SLURM_LOCALID", &mut problems);
    let nodes = variable("SLURM_STEP_NODELIST").or_else(|| variable("SLURM_JOB_NODELIST"));
    let master_addr = variable("MASTER_ADDR").or_else(|| first_host(&nodes?));
    if master_addr.is_none() {
        problems.push("neither MASTER_ADDR nor SLURM_STEP_NODELIST says where rank 0 is".to_owned());
    }
    let master_port = match variable("MASTER_PORT") {
        Some(_) => number(variable, "MASTER_PORT", &mut problems),
        // The same on all machines, and another for each job.
        None => number(variable, "SLURM_JOB_ID", &mut problems).map(|job| 20_000 + job % 10_000),
    };
    // `2(x3),1`: of this machine, the first of these is not always its own; all that is needed is
    // how many share its processors.
    let local_world_size = variable("SLURM_STEP_TASKS_PER_NODE").and_then(|text| largest_count(&text));
    let environment = (|| {
        let local_rank = local_rank?;
        Some(Environment {
            rank: rank?,
            world_size: world_size?,
            local_rank,
            local_world_size: local_world_size.unwrap_or(1).max(local_rank + 1),
            master_addr: master_addr?,
            master_port: port(master_port?, &mut problems)?,
            has_agent: false,
            restart: variable("SLURM_RESTART_COUNT").and_then(|text| text.parse().ok()).unwrap_or(0),
            max_restarts: 0,
        })
    })();
    checked(environment, problems)
}

fn port(number: usize, problems: &mut Vec<String>) -> Option<u16> {
    let port = u16::try_from(number).ok().filter(|&port| port > 0);
    if port.is_none() {
        problems.push(format!("MASTER_PORT is {number}, which is no port (1 to 65535)"));
    }
    port
}

fn checked(
    environment: Option<Environment>,
    mut problems: Vec<String>,
) -> Result<Option<Environment>, DistributedError> {
    if let Some(Environment { rank, world_size, local_rank, local_world_size, .. }) = &environment {
        if rank >= world_size {
            problems.push(format!("RANK is {rank}, but WORLD_SIZE is {world_size}: ranks count from 0"));
        }
        if local_rank >= local_world_size {
            problems.push(format!(
                "LOCAL_RANK is {local_rank}, but LOCAL_WORLD_SIZE is {local_world_size}: ranks count from 0"
            ));
        }
        if local_world_size > world_size {
            problems.push(format!("LOCAL_WORLD_SIZE is {local_world_size}, but WORLD_SIZE is {world_size}"));
        }
    }
    match environment {
        Some(environment) if problems.is_empty() => Ok(Some(environment)),
        _ => Err(DistributedError::Environment(problems)),
    }
}

/// The first name of Slurm's list: `a[03-07,9],b` → `a03`.
fn first_host(list: &str) -> Option<String> {
    let end = list.find([',', '[']).unwrap_or(list.len());
    let (name, rest) = list.split_at(end);
    let Some(ranges) = rest.strip_prefix('[') else { return Some(name.to_owned()).filter(|n| !n.is_empty()) };
    let (ranges, after) = ranges.split_once(']')?;
    let first = ranges.split([',', '-']).next()?;
    // What follows the brackets belongs to the name.
    let suffix = after.split(',').next().unwrap_or_default();
    Some(format!("{name}{first}{suffix}"))
}

/// `2(x3),1` → 2.
fn largest_count(text: &str) -> Option<usize> {
    text.split(',').filter_map(|part| part.split('(').next()?.trim().parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Environment>, DistributedError> {
        Environment::read(|name| {
            variables.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const TORCHRUN: [(&str, &str); 6] = [
        ("RANK", "3"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_RANK", "1"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("MASTER_ADDR", "node1"),
        ("MASTER_PORT", "29500"),
    ];

    #[test]
    fn torchruns_variables_are_understood() {
        assert_eq!(read(&[]).unwrap(), None);
        let found = read(&TORCHRUN).unwrap().unwrap();
        assert_eq!((found.rank, found.world_size, found.local_rank, found.local_world_size), (3, 4, 1, 2));
        assert_eq!((found.master_addr.as_str(), found.master_port), ("node1", 29500));
        assert!(!found.has_agent && found.restart == 0);
        let elastic = [
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "2"),
            ("TORCHELASTIC_MAX_RESTARTS", "3"),
        ];
        let found = read(&[&TORCHRUN[..], &elastic].concat()).unwrap().unwrap();
        assert!(found.has_agent && (found.restart, found.max_restarts) == (2, 3));
        // One process a machine, as Kubernetes operators start them.
        let found = read(&[("RANK", "1"), ("WORLD_SIZE", "2"), TORCHRUN[4], TORCHRUN[5]]).unwrap().unwrap();
        assert_eq!((found.local_rank, found.local_world_size), (0, 1));
        assert_eq!(read(&[("RANK", "0"), ("WORLD_SIZE", "1")]).unwrap(), None);
    }

    #[test]
    fn slurms_variables_are_understood_within_a_step() {
        let step = [
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "5"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "4(x2)"),
            ("SLURM_STEP_NODELIST", "gpu[007-008]"),
            ("SLURM_JOB_ID", "1234567"),
        ];
        let found = read(&step).unwrap().unwrap();
        assert_eq!((found.rank, found.world_size, found.local_rank, found.local_world_size), (5, 8, 1, 4));
        assert_eq!((found.master_addr.as_str(), found.master_port), ("gpu007", 24567));
        // In a batch script, outside of srun.
        assert_eq!(read(&step[1..]).unwrap(), None);
        // torchrun's own, inside of a step.
        assert_eq!(read(&[&TORCHRUN[..], &step].concat()).unwrap().unwrap().rank, 3);
        for (list, first) in
            [("a", "a"), ("a,b", "a"), ("a[1-3,7],b2", "a1"), ("rack[2,4]-ib", "rack2-ib"), ("", "")]
        {
            assert_eq!(first_host(list).unwrap_or_default(), first, "{list}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let without = |name: &str| {
            let left: Vec<_> = TORCHRUN.into_iter().filter(|(given, _)| *given != name).collect();
            read(&left).unwrap_err().to_string()
        };
        for name in ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"] {
            assert!(without(name).contains(&format!("{name} is not set")), "{}", without(name));
        }
        let all = read(&[("LOCAL_RANK", "0")]).unwrap_err().to_string();
        assert!(["RANK is", "WORLD_SIZE is", "MASTER_ADDR"].iter().all(|name| all.contains(name)), "{all}");
        for (name, value, told) in [
            ("RANK", "4", "ranks count from 0"),
            ("RANK", "-1", "whole number"),
            ("LOCAL_RANK", "2", "LOCAL_WORLD_SIZE is 2"),
            ("LOCAL_WORLD_SIZE", "9", "WORLD_SIZE is 4"),
            ("MASTER_PORT", "0", "no port"),
            ("MASTER_PORT", "70000", "no port"),
            ("WORLD_SIZE", "x", "whole number"),
        ] {
            let changed: Vec<_> =
                TORCHRUN.into_iter().map(|(n, v)| if n == name { (n, value) } else { (n, v) }).collect();
            let error = read(&changed).unwrap_err().to_string();
            assert!(error.contains(told), "{name}={value}: {error}");
        }
    }
}
