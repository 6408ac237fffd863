// SPDX-License-Identifier: GPL-2.0

//! The steps for the keys of a device.

use super::{How, Kernel, Plan, Step};
use crate::{
    error::Result,
    keys::{Direction, Key, Wanted},
    links,
    secret::Secret,
};

/// Gives a device a key.
#[derive(Debug)]
pub struct SetKey {
    device: String,
    key: Wanted,
    /// The properties that differ, if the device has a key with this number.
    differs: Option<String>,
}

impl SetKey {
    pub fn describe(&self) -> (&'static str, String) {
        let name = format!("key {} of link {}", self.key.id, self.device);
        match &self.differs {
            None => ("add", name),
            Some(differs) => ("change", format!("{name}: {differs}")),
        }
    }

    /// Returns the device's name, as [`links::Wanted::name`] does.
    pub fn device(&self) -> String {
        links::name(&self.device)
    }

    /// Reads the secret, and sets the key.
    pub fn run(&self, kernel: &mut Kernel) -> Result {
        let key = &self.key;
        let secret =
            Secret::from_file(&key.file, key.form).map_err(|error| error.argument("file"))?;
        let keys = kernel.keys()?;
        let done = keys.set(&self.device, key.id, key.settings, &secret);
        done.map_err(|mut error| {
            // The file has the words of the command line without their dashes.
            error.argument = error.argument.map(|argument| match argument.as_str() {
                "--key-id" => "id".into(),
                "--accept, --send" => "direction".into(),
                "DEVICE" => "name".into(),
                other => other.trim_start_matches("--").to_string(),
            });
            error
        })
    }
}

impl Plan {
    /// Compares the keys of a device in the file with the kernel's. Secrets cannot be compared.
    pub(super) fn compare_keys(&mut self, link: &links::Wanted, keys: &[Key], how: How) {
        // A new key that sends takes the place of the former one, which the kernel removes if it only sends.
        let stays = |key: &&Key, sender_is_set: bool| {
            !(sender_is_set && key.settings.direction == Direction::Send)
        };
        let there = |id, sender_is_set| {
            keys.iter()
                .find(|key| key.device == link.name && key.id == id)
                .filter(|key| stays(key, sender_is_set))
        };
        let sends = |key: &&Wanted| key.settings.direction.sends();
        // Set the key that sends first, so that the device has one at all times.
        let sender = link.keys.iter().find(sends);
        let others = link.keys.iter().filter(|key| !sends(key));
        let mut sender_is_set = false;
        for wanted in sender.into_iter().chain(others) {
            let differs = match there(wanted.id, sender_is_set) {
                None => None,
                Some(key) => match difference(wanted, key, how.rekey, sender_is_set) {
                    None => continue,
                    differs => differs,
                },
            };
            sender_is_set |= sends(&wanted);
            self.steps.push(Step::SetKey(SetKey {
                device: link.name.clone(),
                key: wanted.clone(),
                differs,
            }));
        }
        // If the file has no key for the device, all of its keys were set by `rfou key`, and stay.
        if link.keys.is_empty() {
            return;
        }
        let is_left = |key: &&Key| {
            key.device == link.name
                && !link.keys.iter().any(|wanted| wanted.id == key.id)
                && stays(key, sender_is_set)
        };
        for key in keys.iter().filter(is_left) {
            match how.exclusive {
                true => self.steps.push(Step::DeleteKey(key.clone())),
                false => self.leave(
                    key.to_string(),
                    format!("rfou key del {} --key-id {}", key.device, key.id),
                ),
            }
        }
    }
}

/// Returns the differences as a text. `sender_is_set` is `true` if an earlier step sets another key that sends: a
/// key for both directions then only accepts, without a step of its own.
fn difference(wanted: &Wanted, key: &Key, rekey: bool, sender_is_set: bool) -> Option<String> {
    let (is, asked) = (key.settings, wanted.settings);
    let direction = match sender_is_set {
        true => Direction::Accept,
        false => is.direction,
    };
    let mut differs = Vec::new();
    if direction != asked.direction {
        differs.push(format!("direction {direction} -> {}", asked.direction));
    }
    if is.nat != asked.nat {
        differs.push(format!("nat {} -> {}", is.nat, asked.nat));
    }
    if rekey {
        differs.push("secret".into());
    }
    (!differs.is_empty()).then(|| differs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config, error::Kind, keys::Settings, links::Link, plan::System,
        secret::tests::Temporary,
    };
    use serde_json::json;

    fn system(keys: &[(u32, Direction, bool)]) -> System {
        System {
            links: vec![Link {
                name: "g".into(),
                index: 9,
                up: true,
                state: "up",
                mtu: 1400,
                properties: json!({ "auth": "hmac" }).as_object().unwrap().clone(),
                counters: None,
            }],
            keys: keys
                .iter()
                .map(|&(id, direction, nat)| Key {
                    device: "g".into(),
                    index: 9,
                    id,
                    settings: Settings { direction, nat },
                    auth: "hmac",
                })
                .collect(),
            ..System::default()
        }
    }

    fn plan(keys: &str, system: &System, how: How) -> Plan {
        let text = format!("[[link]]\nname = 'g'\nauth = 'hmac'\n{keys}");
        Plan::new(&Config::parse("f", &text).unwrap(), system, how)
    }

    fn steps(keys: &str, system: &System, how: How) -> Vec<String> {
        let plan = plan(keys, system, how);
        let described = plan.steps.iter().map(Step::describe);
        described
            .map(|(verb, object)| format!("{verb} {object}"))
            .collect()
    }

    fn key(id: u32, more: &str) -> String {
        format!("[[link.key]]\nid = {id}\nfile = '/k'\n{more}\n")
    }

    const PLAIN: How = How {
        exclusive: false,
        rekey: false,
    };
    const REKEY: How = How {
        exclusive: false,
        rekey: true,
    };
    const EXCLUSIVE: How = How {
        exclusive: true,
        rekey: false,
    };
    const NOTHING: [&str; 0] = [];

    #[test]
    fn keys_follow_their_device_and_are_set_once() {
        let file = key(1, "direction = 'accept'") + &key(2, "");
        let expected = ["add link g", "add key 2 of link g", "add key 1 of link g"];
        assert_eq!(steps(&file, &System::default(), PLAIN), expected);
        let there = system(&[(1, Direction::Accept, false), (2, Direction::Both, false)]);
        assert_eq!(steps(&file, &there, PLAIN), NOTHING);
        assert_eq!(
            steps(&file, &there, REKEY),
            [
                "change key 2 of link g: secret",
                "change key 1 of link g: secret"
            ]
        );
    }

    #[test]
    fn a_rotation_changes_no_key_that_the_kernel_changes_itself() {
        let there = system(&[(1, Direction::Both, false)]);
        let file = key(1, "direction = 'accept'") + &key(2, "");
        assert_eq!(steps(&file, &there, PLAIN), ["add key 2 of link g"]);
        // If no new key sends, the kernel does not change this key, so a step must.
        let file = key(1, "direction = 'accept'");
        let expected = ["change key 1 of link g: direction both -> accept"];
        assert_eq!(steps(&file, &there, PLAIN), expected);
        let file = key(1, "direction = 'send'\nnat = true");
        let expected = ["change key 1 of link g: direction both -> send, nat false -> true"];
        assert_eq!(steps(&file, &there, PLAIN), expected);
    }

    /// The kernel removes a key that only sends when another one takes its place.
    #[test]
    fn a_former_sender_that_the_kernel_removes_is_added_again_or_forgotten() {
        let there = system(&[(1, Direction::Send, false)]);
        let file = key(1, "direction = 'accept'") + &key(2, "direction = 'send'");
        let expected = ["add key 2 of link g", "add key 1 of link g"];
        assert_eq!(steps(&file, &there, PLAIN), expected);
        let file = key(2, "direction = 'send'");
        let without = plan(&file, &there, PLAIN);
        assert_eq!(without.steps.len(), 1);
        assert!(without.left.is_empty());
        assert_eq!(steps(&file, &there, EXCLUSIVE), ["add key 2 of link g"]);
    }

    #[test]
    fn keys_that_are_not_in_the_file_are_left_or_removed() {
        let there = system(&[(1, Direction::Accept, false), (2, Direction::Both, false)]);
        let left = plan(&key(2, ""), &there, PLAIN);
        assert!(left.steps.is_empty());
        assert_eq!(left.left, ["key 1 of link g"]);
        assert_eq!(left.left_hints, ["rfou key del g --key-id 1"]);
        assert_eq!(
            steps(&key(2, ""), &there, EXCLUSIVE),
            ["delete key 1 of link g"]
        );
        let unnamed = plan("", &there, EXCLUSIVE);
        assert!(unnamed.steps.is_empty() && unnamed.left.is_empty());
    }

    #[test]
    fn a_device_with_another_auth_gets_no_keys() {
        let mut there = system(&[]);
        there.links[0].properties["auth"] = json!("cookie8");
        let plan = plan(&key(1, ""), &there, PLAIN);
        assert!(matches!(&plan.steps[..], [Step::Impossible(_, error)]
            if error.argument.as_deref() == Some("auth")));
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_told_before_the_kernel_is_asked() {
        let mut kernel = Kernel {
            ports: None,
            links: links::Links::open().unwrap(),
            keys: None,
        };
        let file = Temporary::new("plan", b"0123456789abcdef", 0o644);
        let text = key(1, "").replace("/k", &file.0.display().to_string());
        let plan = plan(&text, &system(&[]), PLAIN);
        let error = plan.steps[0].run(&mut kernel).unwrap_err();
        assert_eq!(
            (error.kind, error.argument.as_deref()),
            (Kind::Usage, Some("file"))
        );
        assert!(kernel.keys.is_none());
    }
}
