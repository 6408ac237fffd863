// SPDX-License-Identifier: GPL-2.0

//! `rfou apply`.

mod wait;

use crate::{
    cli::ApplyArgs,
    config::{from_system, Config},
    error::{Error, Kind, Result, WOULD_CHANGE},
    links::{Link, Links},
    output::{write, Output, Style},
    plan::{How, Kernel, Plan, Step, System},
    ports::{Ports, Which},
};
use rustix::fs::{flock, FlockOperation};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

/// Held while an apply changes things: two at once would undo each other's steps.
const LOCK: &str = "/run/rfou/apply.lock";

/// The ports and devices of the file that wait for an interface or a local address, with the errors of the last try.
type Waiting = BTreeMap<String, Error>;

#[derive(Clone, Copy, Debug)]
struct Options {
    which: Option<Which>,
    output: Output,
    /// A port or device that lacks an interface or a local address waits, and is no error.
    waits: bool,
}

pub fn run(args: &ApplyArgs, which: Option<Which>, output: Output) -> Result<u8> {
    if args.from_system {
        return save(args, which, output);
    }
    let file = args.file.as_deref().unwrap_or(Path::new("-"));
    let text = read(file)?;
    let config = parse(file, &text)?;
    let how = How {
        exclusive: config.exclusive || args.exclusive,
        rekey: args.rekey,
    };
    if args.dry_run {
        let (_, system) = look(which, !config.ports.is_empty())?;
        return dry_run(&Plan::new(&config, &system, how), output);
    }
    let options = Options {
        which,
        output,
        waits: args.wait,
    };
    match args.wait {
        true => wait::run(file, &text, config, how, options),
        false => Ok(apply(&config, how, options, &Waiting::new())?.0),
    }
}

/// Compares the system with the file, and makes the changes. Returns the exit status, and what waits now. `before` is
/// what waited before: nothing in a first run. Only news is printed.
fn apply(config: &Config, how: How, options: Options, before: &Waiting) -> Result<(u8, Waiting)> {
    let output = options.output;
    let _lock = lock()?;
    let (mut kernel, system) = look(options.which, !config.ports.is_empty())?;
    let plan = Plan::new(config, &system, how);
    let is_first = before.is_empty();
    let mut waiting = Waiting::new();
    let mut first = None;
    let mut done = Vec::new();
    let mut has_news = is_first;
    for step in &plan.steps {
        let device = step.device_of_key();
        if device.is_some_and(|device| waiting.contains_key(&device)) {
            continue;
        }
        let result = step.run(&mut kernel);
        let error = result.as_ref().err();
        done.push(step.json(error, result.is_ok()));
        let waits = error.and_then(|error| Some((step.waits(error)?, error.clone())));
        if let Some((name, error)) = waits.filter(|_| options.waits) {
            let told = before.get(&name).map(|before| &before.message);
            if told != Some(&error.message) {
                has_news = true;
                report_waiting(&name, &error, output)?;
            }
            waiting.insert(name, error);
            continue;
        }
        has_news = true;
        if !output.json {
            report(step, error, output)?;
        }
        first = first.or(result.err());
    }
    match output.json {
        true if has_news => {
            let left = if is_first { &plan.left[..] } else { &[] };
            let mut value = json!({ "dry_run": false, "steps": done, "left_alone": left });
            if options.waits {
                value["waiting"] = json!(waiting.keys().collect::<Vec<_>>());
            }
            write(&format!("{value}\n"))?;
        }
        false if is_first => conclude(&plan, output)?,
        _ => (),
    }
    Ok((first.map_or(0, |error| error.kind.status()), waiting))
}

fn parse(file: &Path, text: &str) -> Result<Config> {
    Config::parse(&file.display().to_string(), text)
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let done = match file == Path::new("-") {
        true => io::stdin().read_to_string(&mut text),
        false => File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    done.map_err(|error| Error::io(file.display(), &error).argument("FILE"))?;
    Ok(text)
}

/// Connects to the kernel, and reads what is there. A kernel without ports is an error only if
/// the file has some.
fn look(which: Option<Which>, ports_needed: bool) -> Result<(Kernel, System)> {
    let mut kernel = Kernel {
        ports: match Ports::open(which) {
            Err(error) if ports_needed || error.kind != Kind::Unsupported => return Err(error),
            ports => ports.ok(),
        },
        links: Links::open()?,
        keys: None,
    };
    let mut system = System {
        ports: match &mut kernel.ports {
            Some(ports) => ports.list()?,
            None => Vec::new(),
        },
        links: kernel.links.list()?,
        keys: Vec::new(),
    };
    if system.links.iter().any(Link::has_auth) {
        system.keys = kernel.keys()?.list()?;
    }
    Ok((kernel, system))
}

fn dry_run(plan: &Plan, output: Output) -> Result<u8> {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::Impossible(_, error) => step.json(Some(error), false),
            _ => step.json(None, false),
        })
        .collect();
    let value = json!({ "dry_run": true, "steps": steps, "left_alone": plan.left });
    output.print(&value, || {
        let mut text = String::new();
        for step in &plan.steps {
            let (verb, object) = step.describe();
            text += &match step {
                Step::Impossible(_, error) => format!("cannot change {object}: {error}\n"),
                _ => format!("would {verb} {object}\n"),
            };
        }
        text
    })?;
    if !output.json {
        conclude(plan, output)?;
    }
    Ok(match plan.steps.is_empty() {
        true => 0,
        false => WOULD_CHANGE,
    })
}

fn report(step: &Step, error: Option<&Error>, output: Output) -> Result {
    let (verb, object) = step.describe();
    let Some(error) = error else {
        let past = match verb {
            "add" => "added",
            "delete" => "deleted",
            _ => "changed",
        };
        return write(&format!("{} {object}\n", output.paint(Style::Good, past)));
    };
    eprintln!("rfou: could not {verb} {object}: {error}");
    if let Some(hint) = &error.hint {
        eprintln!("      {hint}");
    }
    Ok(())
}

fn report_waiting(name: &str, error: &Error, output: Output) -> Result {
    match output.json {
        true => Ok(()),
        false => write(&format!(
            "{} {name}: {error}\n",
            output.paint(Style::Note, "waiting")
        )),
    }
}

/// Prints the objects that are left alone, and a line if there is nothing to change.
fn conclude(plan: &Plan, output: Output) -> Result {
    let mut text = String::new();
    for (what, hint) in plan.left.iter().zip(&plan.left_hints) {
        text += &format!(
            "{} {what}: it is not in the file ('{hint}' removes it)\n",
            output.paint(Style::Note, "left alone")
        );
    }
    if plan.steps.is_empty() {
        text += "nothing to change\n";
    }
    write(&text)
}

/// Waits for the end of another apply. Returns `None` if this user cannot make the lock: then the
/// user may change nothing, or only in a user namespace of their own.
fn lock() -> Result<Option<File>> {
    let folder = Path::new(LOCK).parent().unwrap_or(Path::new("/"));
    let opened = fs::create_dir_all(folder).and_then(|()| {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(LOCK)
    });
    let Ok(file) = opened else {
        return Ok(None);
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        eprintln!("rfou: waiting for another 'rfou apply'");
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| Error::io(LOCK, &error.into()))?;
    }
    Ok(Some(file))
}

/// Writes a file that describes the system. An existing file is replaced as a whole, or not at all.
fn save(args: &ApplyArgs, which: Option<Which>, output: Output) -> Result<u8> {
    let (_, mut system) = look(which, false)?;
    system.ports.sort_by(|a, b| a.identity.cmp(&b.identity));
    let text = from_system(&system.ports, &system.links, &system.keys);
    let file = match &args.file {
        Some(file) if file != Path::new("-") => file,
        _ => {
            return output
                .print(&json!({ "file": "-", "text": text }), || text.clone())
                .map(|()| 0)
        }
    };
    if file.exists() && !args.force {
        return Err(
            Error::new(Kind::InUse, format!("{} exists already", file.display()))
                .argument("FILE")
                .hint("--force overwrites it"),
        );
    }
    let mut new = file.clone().into_os_string();
    new.push(".new");
    let at_fault = |error| Error::io(file.display(), &error).argument("FILE");
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&new, file))
        .map_err(at_fault)?;
    if output.json {
        write(&format!("{}\n", json!({ "file": file, "text": text })))?;
    }
    Ok(0)
}
