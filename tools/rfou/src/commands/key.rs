// SPDX-License-Identifier: GPL-2.0

//! `rfou key`.

use crate::{
    cli::{Auth, KeyCommand, KeyDel, KeyNew, KeySet, KeyShow},
    error::{Error, Kind, Result},
    keys::{Direction, Key, Keys, Settings},
    links::Links,
    output::{table, write, Output},
    secret::{Form, Secret},
};
use serde_json::json;
use std::{fmt::Write as _, path::Path};
use zeroize::Zeroizing;

pub fn run(command: &KeyCommand, output: Output) -> Result {
    match command {
        KeyCommand::Set(args) => set(args, output),
        KeyCommand::Del(args) => del(args, output),
        KeyCommand::Show(args) => show(args, output),
        KeyCommand::New(args) => new(args, output),
    }
}

fn set(args: &KeySet, output: Output) -> Result {
    let settings = settings(args)?;
    let secret = secret(args).map_err(|error| error.argument("--file"))?;
    let (device, id) = (&args.name.device, args.name.key_id);
    let mut keys = Keys::open()?;
    keys.set(device, id, settings, &secret)?;
    if !output.json {
        return Ok(());
    }
    tell("set", &keys.get(device, id)?)
}

fn settings(args: &KeySet) -> Result<Settings> {
    let direction = match (args.accept, args.send) {
        (true, _) => Direction::Accept,
        (_, true) => Direction::Send,
        _ => Direction::Both,
    };
    let nat = args.nat;
    match (nat, direction) {
        (true, Direction::Both) => Err(Error::usage("--nat needs --accept or --send")
            .argument("--nat")
            .hint("without addresses, only different keys tell the two directions apart")),
        _ => Ok(Settings { direction, nat }),
    }
}

fn secret(args: &KeySet) -> Result<Secret> {
    let form = match args.hex {
        true => Form::Hex,
        false => Form::Raw,
    };
    match args.file.as_deref() {
        None => Secret::from_stdin(form, false),
        Some(file) if file == Path::new("-") => Secret::from_stdin(form, true),
        Some(file) => Secret::from_file(file, form),
    }
}

fn del(args: &KeyDel, output: Output) -> Result {
    let (device, id) = (&args.name.device, args.name.key_id);
    let mut keys = Keys::open()?;
    let key = match output.json {
        true => Some(keys.get(device, id)?),
        false => None,
    };
    keys.delete(device, id)?;
    key.map_or(Ok(()), |key| tell("deleted", &key))
}

fn tell(result: &str, key: &Key) -> Result {
    write(&format!("{}\n", json!({ "result": result, "key": key })))
}

fn show(args: &KeyShow, output: Output) -> Result {
    let mut keys = Keys::open()?.list()?;
    if let Some(device) = &args.device {
        keys.retain(|key| key.device == *device);
        if keys.is_empty()
            && !Links::open()?
                .list()?
                .iter()
                .any(|link| link.name == *device)
        {
            return Err(
                Error::new(Kind::NotFound, format!("there is no gue device '{device}'"))
                    .argument("DEVICE")
                    .hint("'rfou link show' shows those that exist"),
            );
        }
    }
    output.print(&json!({ "keys": keys }), || text(&keys, output))
}

fn text(keys: &[Key], output: Output) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = keys.iter().map(row).collect();
    table(
        output,
        &["DEVICE", "KEY-ID", "AUTH", "DIRECTION", "OPTIONS"],
        &rows,
    )
}

fn row(key: &Key) -> Vec<String> {
    vec![
        key.device.clone(),
        key.id.to_string(),
        key.auth.to_string(),
        key.settings.direction.to_string(),
        if key.settings.nat { "nat" } else { "-" }.to_string(),
    ]
}

fn new(args: &KeyNew, output: Output) -> Result {
    let (auth, length) = match args.auth {
        Auth::Cookie8 => ("cookie8", 8),
        Auth::Cookie16 => ("cookie16", 16),
        Auth::Cookie32 => ("cookie32", 32),
        Auth::Hmac => ("hmac", 32),
    };
    let hex = Secret::random(length)?.hex();
    // Not by serde: a string that grows leaves its old bytes in memory.
    let mut text = Zeroizing::new(String::with_capacity(128));
    let _ = match output.json {
        true => writeln!(text, r#"{{"auth":"{auth}","secret":"{}"}}"#, *hex),
        false => writeln!(text, "{}", *hex),
    };
    write(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(words: &str) -> Result<KeySet, String> {
        let words = format!("rfou key set {words}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Key(KeyCommand::Set(args)) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_key_is_for_both_directions_unless_one_is_given() {
        for (words, direction) in [
            ("", Direction::Both),
            (" --accept", Direction::Accept),
            (" --send", Direction::Send),
        ] {
            let args = parse(&format!("gue0 --key-id 7{words}")).unwrap();
            assert_eq!(settings(&args).unwrap().direction, direction);
        }
        let both = parse("gue0 --key-id 7 --accept --send").unwrap_err();
        assert!(both.contains("--send"));
        let nat = parse("gue0 --key-id 7 --nat --send").unwrap();
        assert!(settings(&nat).unwrap().nat);
        let nat = parse("gue0 --key-id 7 --nat").unwrap();
        assert_eq!(
            settings(&nat).unwrap_err().argument.as_deref(),
            Some("--nat")
        );
    }

    #[test]
    fn wrong_words_are_named() {
        for (words, told) in [
            ("gue0", "--key-id <N>"),
            ("--key-id 7", "<DEVICE>"),
            ("gue0 --key-id x", "--key-id"),
            ("gue0 --key-id 4294967296", "--key-id"),
            ("gue0 --key-id -1", "-1"),
            ("a-name-of-letters --key-id 7", "1 to 15 characters"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn keys_are_shown_as_a_table() {
        let key = |id, direction, nat| Key {
            device: "gue0".into(),
            index: 9,
            id,
            settings: Settings { direction, nat },
            auth: "hmac",
        };
        let keys = [
            key(7, Direction::Both, false),
            key(8, Direction::Accept, true),
        ];
        let plain = Output {
            json: false,
            color: false,
        };
        assert_eq!(
            text(&keys, plain),
            "DEVICE  KEY-ID  AUTH  DIRECTION  OPTIONS\n\
             gue0    7       hmac  both       -\n\
             gue0    8       hmac  accept     nat\n"
        );
        assert_eq!(text(&[], plain), "");
    }
}
