// SPDX-License-Identifier: GPL-2.0

//! The tables `[[link.key]]`: keys, whose secrets are in files of their own.

use crate::{
    error::{Error, Result},
    keys::{Direction, Key, Settings, Wanted, MAX},
    links,
    secret::Form,
};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// The folder of the files that `--from-system` names.
const FOLDER: &str = "/etc/rfou/keys";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: u32,
    file: PathBuf,
    #[serde(default)]
    hex: bool,
    #[serde(default)]
    direction: Direction,
    #[serde(default)]
    nat: bool,
}

/// Reads the keys of a link.
pub fn read(link: &str, entries: &[Value]) -> Result<Vec<Wanted>> {
    let mut keys: Vec<Wanted> = Vec::new();
    for (place, entry) in (1..).zip(entries) {
        let key =
            key(entry).map_err(|error| error.context(format!("link '{link}': key {place}")))?;
        if keys.iter().any(|other| other.id == key.id) {
            let message = format!("link '{link}': there are two keys with the id {}", key.id);
            return Err(Error::usage(message).argument("id"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn key(entry: &Value) -> Result<Wanted> {
    if entry.get("secret").is_some() {
        let message = "a secret has no place in this file: file names the file that has it";
        return Err(Error::usage(message).argument("secret"));
    }
    let entry: Entry =
        serde_json::from_value(entry.clone()).map_err(|error| Error::usage(error.to_string()))?;
    if !entry.file.is_absolute() {
        let message = "file must be a path from the root on";
        return Err(Error::usage(message).argument("file"));
    }
    if entry.nat && entry.direction == Direction::Both {
        let message = "nat needs the direction \"accept\" or \"send\"";
        return Err(Error::usage(message).argument("direction"));
    }
    Ok(Wanted {
        id: entry.id,
        settings: Settings {
            direction: entry.direction,
            nat: entry.nat,
        },
        file: entry.file,
        form: match entry.hex {
            true => Form::Hex,
            false => Form::Raw,
        },
    })
}

/// Checks the keys of a link, and its other properties that belong to keys, against each other.
pub fn check(link: &links::Wanted) -> Result {
    let at_fault = |key: &str, message: &str| {
        Err(Error::usage(format!("link '{}': {message}", link.name)).argument(key))
    };
    let auth = link.properties.get("auth").and_then(Value::as_str);
    let auth = auth.unwrap_or("none");
    if auth != "hmac" && link.properties.contains_key("cover") {
        return at_fault("cover", "cover needs auth = \"hmac\"");
    }
    if auth == "none" && !link.keys.is_empty() {
        return at_fault("auth", "a link with keys needs auth");
    }
    if auth != "hmac" && link.keys.iter().any(|key| key.settings.nat) {
        return at_fault("nat", "nat needs auth = \"hmac\"");
    }
    if link.keys.len() > MAX {
        return at_fault("key", &format!("a link has at most {MAX} keys"));
    }
    // A device sends with one key: setting another key that sends changes or removes the former one.
    let senders = link
        .keys
        .iter()
        .filter(|key| key.settings.direction.sends());
    let senders: Vec<_> = senders.map(|key| key.id.to_string()).collect();
    if senders.len() > 1 {
        let senders = senders.join(" and ");
        let message = format!(
            "the keys {senders} send, but a link sends with one key: the others need \
             direction = \"accept\""
        );
        return at_fault("direction", &message);
    }
    Ok(())
}

/// Returns the table for a key of the system. The kernel does not show the secret.
pub fn from_system(key: &Key) -> String {
    let file = Value::from(format!("{FOLDER}/{}-{}", key.device, key.id));
    let mut text = format!(
        "\n[[link.key]]\nid = {}\n\
         # The kernel shows no secret: put it into this file, which only root may read.\n\
         file = {file}\n",
        key.id
    );
    if key.settings.direction != Direction::Both {
        text += &format!("direction = \"{}\"\n", key.settings.direction);
    }
    if key.settings.nat {
        text += "nat = true\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, links::Link};
    use serde_json::json;

    const LINK: &str = "[[link]]\nname = 'g'\nauth = 'hmac'\n";

    fn refused(text: &str) -> String {
        Config::parse("f", text).unwrap_err().to_string()
    }

    fn keys(text: &str) -> Vec<Wanted> {
        let config = Config::parse("f", &format!("{LINK}{text}")).unwrap();
        config.links[0].keys.clone()
    }

    #[test]
    fn keys_are_read_with_their_defaults() {
        let [first, second] = &keys(
            "[[link.key]]\nid = 1\nfile = '/k/1'\n\
             [[link.key]]\nid = 4294967295\nfile = '/k/2'\nhex = true\n\
             direction = 'accept'\nnat = true\n",
        )[..] else {
            panic!("two keys");
        };
        assert_eq!((first.id, first.form), (1, Form::Raw));
        assert_eq!(first.settings, Settings::default());
        assert_eq!((second.id, second.form), (u32::MAX, Form::Hex));
        let expected = Settings {
            direction: Direction::Accept,
            nat: true,
        };
        assert_eq!(second.settings, expected);
        assert_eq!(second.file, PathBuf::from("/k/2"));
    }

    #[test]
    fn wrong_keys_are_named() {
        let one = "[[link.key]]\nid = 1\nfile = '/k'\n";
        let two = one.replace("id = 1", "id = 2");
        for (text, told) in [
            ("[[link.key]]\nid = 1\n", "missing field `file`"),
            ("[[link.key]]\nfile = '/k'\n", "missing field `id`"),
            ("[[link.key]]\nid = -1\nfile = '/k'\n", "`-1`, expected u32"),
            ("[[link.key]]\nid = 1\nfile = 'k'\n", "(argument: file)"),
            (
                "[[link.key]]\nid = 1\nsecret = '00'\n",
                "file names the file",
            ),
            ("key = 7\n", "[[link.key]]"),
            (&format!("{one}{one}"), "two keys with the id 1"),
            (&format!("{one}{two}"), "the keys 1 and 2 send"),
            (&format!("{one}nat = true\n"), "(argument: direction)"),
            (
                &format!("{one}direction = 'back'\n"),
                "unknown variant `back`",
            ),
            (&format!("{one}colour = 'red'\n"), "unknown field `colour`"),
        ] {
            let error = refused(&format!("{LINK}{text}"));
            assert!(error.starts_with("f:1: link 'g': "), "{error}");
            assert!(error.contains(told), "{error}");
        }
        let many: String = (0..9)
            .map(|id| one.replace("id = 1", &format!("direction = 'accept'\nid = {id}")))
            .collect();
        assert!(refused(&format!("{LINK}{many}")).contains("at most 8 keys"));
        let other = |auth: &str| LINK.replace("hmac", auth);
        assert!(refused(&format!("{}{one}", other("none"))).contains("needs auth"));
        assert!(refused(&format!("{}cover = 0\n", other("cookie8"))).contains("cover needs auth"));
        let nat = format!("{}{one}direction = 'send'\nnat = true\n", other("cookie8"));
        assert!(refused(&nat).contains("nat needs auth"));
    }

    #[test]
    fn what_is_written_has_no_secret_and_is_read_back() {
        let link = Link {
            name: "g".into(),
            index: 9,
            up: true,
            state: "up",
            mtu: 1400,
            properties: json!({ "auth": "hmac", "cover": "all", "crc": true })
                .as_object()
                .unwrap()
                .clone(),
            counters: None,
        };
        let key = |device: &str, id, direction, nat| Key {
            device: device.into(),
            index: 9,
            id,
            settings: Settings { direction, nat },
            auth: "hmac",
        };
        let there = [
            key("g", 1, Direction::Both, false),
            key("g", 2, Direction::Accept, true),
            key("h", 3, Direction::Both, false),
        ];
        let text = crate::config::from_system(&[], &[link], &there);
        assert!(text.contains("# The kernel shows no secret"), "{text}");
        let config = Config::parse("f", &text).unwrap();
        let [first, second] = &config.links[0].keys[..] else {
            panic!("the keys of g: {text}");
        };
        assert_eq!((first.id, first.settings), (1, there[0].settings));
        assert_eq!((second.id, second.settings), (2, there[1].settings));
        assert_eq!(first.file, PathBuf::from("/etc/rfou/keys/g-1"));
        assert_eq!(config.links[0].properties["crc"], true);
        assert_eq!(config.links[0].properties["cover"], "all");
    }
}
