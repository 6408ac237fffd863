// SPDX-License-Identifier: GPL-2.0

//! `rfou check`.

mod firewall;
mod kernel;
mod modules;
mod packets;
mod secure_boot;

use crate::{
    cli::CheckArgs,
    config::Config,
    error::{Error, Kind, Result},
    links::Links,
    output::{Output, Style},
    port::Family,
    ports::{Ports, Which},
};
use serde::Serialize;
use serde_json::{json, Map, Value};
use std::{collections::BTreeSet, fs, path::PathBuf};

/// The UDP port of a gue device whose port the file does not name.
const DEFAULT_LINK_PORT: u16 = 6080;

/// The state of one thing that rfou needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// The user must do something.
    Todo,
    /// Good to know. The user need not do anything.
    Note,
    /// Could not be checked.
    Unknown,
}

/// One line of the answer.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub name: &'static str,
    pub status: Status,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

impl Item {
    pub fn new(name: &'static str, status: Status, text: impl Into<String>) -> Self {
        Self {
            name,
            status,
            text: text.into(),
            todo: None,
        }
    }

    pub fn todo(name: &'static str, text: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            todo: Some(todo.into()),
            ..Self::new(name, Status::Todo, text)
        }
    }

    pub fn with_todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = Some(todo.into());
        self
    }
}

/// The machine's files, below a root for tests.
pub struct Machine {
    root: PathBuf,
    pub release: String,
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    pub fn read(&self, path: &str) -> Option<String> {
        let text = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Returns a file of this kernel's modules.
    pub fn module_file(&self, path: &str) -> String {
        format!("/lib/modules/{}/{path}", self.release)
    }

    pub fn list(&self, path: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten();
        let mut paths: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        paths
    }

    /// Returns `true` if a module is loaded.
    pub fn is_loaded(&self, module: &str) -> bool {
        self.exists(&format!("/sys/module/{module}"))
    }
}

pub fn run(args: &CheckArgs, which: Option<Which>, output: Output) -> Result<u8> {
    let machine = Machine {
        root: "/".into(),
        release: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
    };
    let config = match &args.config {
        Some(file) => {
            let text = fs::read_to_string(file)
                .map_err(|error| Error::io(file.display(), &error).argument("--config"))?;
            Some(Config::parse(&file.display().to_string(), &text)?)
        }
        None => None,
    };
    let mut items = kernel::check(&machine);
    items.extend(modules::check(&machine));
    items.push(secure_boot::check(&machine));
    items.push(modules::plugin(&machine, std::env::var_os("IP_LIB_DIR")));
    items.push(firewall::check(&listening(
        &machine,
        config.as_ref(),
        which,
    )));
    let fine = items.iter().all(|item| item.status != Status::Todo);
    output.print(&json!({ "ok": fine, "items": items }), || {
        text(&items, output)
    })?;
    Ok(match fine {
        true => 0,
        false => Kind::Failed.status(),
    })
}

/// Returns the UDP ports on which the system receives, or would receive with the file.
fn listening(
    machine: &Machine,
    config: Option<&Config>,
    which: Option<Which>,
) -> BTreeSet<(u16, Family)> {
    let mut found = BTreeSet::new();
    // Without this condition, the look-up of the family would load a module.
    if machine.is_loaded("rfou") || machine.is_loaded("fou") {
        let ports = Ports::open(which).and_then(|mut ports| ports.list());
        for port in ports.unwrap_or_default() {
            found.insert((port.identity.port, port.identity.family));
        }
    }
    let links = Links::open().and_then(|mut links| links.list());
    for link in links.unwrap_or_default() {
        found.extend(of_link(&link.properties));
    }
    for wanted in config.map_or(&[][..], |config| &config.links) {
        found.extend(of_link(&wanted.properties));
    }
    for wanted in config.map_or(&[][..], |config| &config.ports) {
        found.insert((wanted.port(), wanted.family()));
    }
    found
}

/// Returns the UDP ports on which a gue device with these properties receives.
fn of_link(properties: &Map<String, Value>) -> Vec<(u16, Family)> {
    let is_ipv6 = |name| {
        let text = properties.get(name).and_then(Value::as_str);
        text.is_some_and(|text| text.contains(':'))
    };
    let is_external = properties.get("external").and_then(Value::as_bool) == Some(true);
    let families = match is_ipv6("remote") || is_ipv6("local") {
        true => &[Family::Ipv6][..],
        false if is_external => &[Family::Ipv4, Family::Ipv6],
        false => &[Family::Ipv4],
    };
    let port = properties.get("port").and_then(Value::as_u64);
    let port = port.map_or(DEFAULT_LINK_PORT, |port| port as u16);
    families.iter().map(|&family| (port, family)).collect()
}

fn text(items: &[Item], output: Output) -> String {
    let width = items.iter().map(|item| item.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for item in items {
        let (word, style) = match item.status {
            Status::Ok => ("ok  ", Style::Good),
            Status::Todo => ("TODO", Style::Bad),
            Status::Note => ("note", Style::Note),
            Status::Unknown => ("?   ", Style::Note),
        };
        text += &format!(
            "{}  {:width$}  {}\n",
            output.paint(style, word),
            item.name,
            item.text
        );
        if let Some(todo) = &item.todo {
            text += &format!("      {:width$}  -> {todo}\n", "");
        }
    }
    text
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A machine made of files in a folder that is removed at the end.
    pub struct Fake {
        pub machine: Machine,
    }

    impl Fake {
        pub fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root =
                std::env::temp_dir().join(format!("rfou-check-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            for (path, text) in files {
                let path = root.join(path.trim_start_matches('/'));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self {
                machine: Machine {
                    root,
                    release: "7.3.4+deb13-amd64".into(),
                },
            }
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.machine.root);
        }
    }

    #[test]
    fn device_of_the_file_listens_at_its_port() {
        let listens = |properties: Value| of_link(properties.as_object().unwrap());
        assert_eq!(
            listens(json!({"remote": "192.0.2.2"})),
            [(6080, Family::Ipv4)]
        );
        let of_port = json!({"remote": "::", "port": 7000});
        assert_eq!(listens(of_port), [(7000, Family::Ipv6)]);
        let external = [(6080, Family::Ipv4), (6080, Family::Ipv6)];
        assert_eq!(listens(json!({"external": true})), external);
    }

    pub fn status(items: &[Item], name: &str) -> Status {
        items.iter().find(|item| item.name == name).unwrap().status
    }
}
