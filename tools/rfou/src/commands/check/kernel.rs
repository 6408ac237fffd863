// SPDX-License-Identifier: GPL-2.0

//! The kernel: its version, its Rust, and what building a module for it needs.

use super::{Item, Machine, Status};

/// The oldest kernel that rfou is built for.
const OLDEST: (u32, u32) = (7, 2);

pub fn check(machine: &Machine) -> Vec<Item> {
    vec![
        version(machine),
        rust(machine),
        headers(machine),
        source(machine),
    ]
}

/// Returns the first two numbers of a release.
fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn version(machine: &Machine) -> Item {
    let release = &machine.release;
    match numbers(release) {
        Some(found) if found >= OLDEST => Item::new("kernel", Status::Ok, release),
        _ => Item::todo(
            "kernel",
            format!("{release} is older than {}.{}", OLDEST.0, OLDEST.1),
            "apt install -t trixie-backports linux-image-amd64, and reboot",
        ),
    }
}

fn rust(machine: &Machine) -> Item {
    let name = "kernel's Rust";
    let config = [
        format!("/boot/config-{}", machine.release),
        machine.module_file("config"),
        machine.module_file("build/.config"),
    ]
    .iter()
    .find_map(|path| machine.read(path));
    match config {
        Some(config) if config.lines().any(|line| line == "CONFIG_RUST=y") => {
            let compiler = config
                .lines()
                .find_map(|line| line.strip_prefix("CONFIG_RUSTC_VERSION_TEXT="))
                .map_or("CONFIG_RUST=y", |text| text.trim_matches('"'));
            Item::new(name, Status::Ok, compiler)
        }
        Some(_) => Item::todo(
            name,
            "the kernel is built without CONFIG_RUST",
            "use Debian's kernel, or build one with CONFIG_RUST=y",
        ),
        None if machine.is_loaded("rfou") || machine.is_loaded("rgue") => {
            Item::new(name, Status::Ok, "a module in Rust is loaded")
        }
        None => Item::new(
            name,
            Status::Unknown,
            "the kernel's configuration is not installed",
        ),
    }
}

fn headers(machine: &Machine) -> Item {
    let name = "headers";
    let release = &machine.release;
    match machine.exists(&machine.module_file("build/Makefile")) {
        true => Item::new(name, Status::Ok, machine.module_file("build")),
        false => needed_for_build(
            machine,
            name,
            format!("no headers of {release} are installed"),
            format!("apt install linux-headers-{release}"),
        ),
    }
}

/// Checks for the kernel's source. Header packages lack the metadata of the kernel's Rust crates.
fn source(machine: &Machine) -> Item {
    let name = "kernel source";
    let Some((major, minor)) = numbers(&machine.release) else {
        return Item::new(name, Status::Unknown, "the kernel's version is not known");
    };
    let places = [
        format!("/usr/src/linux-source-{major}.{minor}.tar.xz"),
        machine.module_file("source/rust/kernel/lib.rs"),
    ];
    match places.iter().find(|path| machine.exists(path)) {
        Some(place) => Item::new(name, Status::Ok, place),
        None => needed_for_build(
            machine,
            name,
            format!("the source of {major}.{minor} is not installed"),
            format!("apt install linux-source-{major}.{minor}"),
        ),
    }
}

/// Returns an item for missing headers or source. The user must install them if the module is missing, or if DKMS
/// builds it.
fn needed_for_build(machine: &Machine, name: &'static str, text: String, todo: String) -> Item {
    let dkms = machine.list("/usr/src").iter().any(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("rfou-"))
    });
    let built = super::modules::file(machine, "rfou").is_some() || machine.is_loaded("rfou");
    match built && !dkms {
        true => Item::new(name, Status::Note, format!("{text}; rfou is built already")),
        false => Item::todo(name, format!("{text}; DKMS needs them to build rfou"), todo),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{status, Fake};
    use super::*;

    #[test]
    fn an_old_kernel_without_rust_is_told() {
        let mut fake = Fake::new("old", &[("/boot/config-6.12.1-amd64", "CONFIG_NET=y\n")]);
        fake.machine.release = "6.12.1-amd64".into();
        let items = check(&fake.machine);
        for name in ["kernel", "kernel's Rust", "headers", "kernel source"] {
            assert_eq!(status(&items, name), Status::Todo, "{name}");
        }
    }

    #[test]
    fn a_prepared_machine_is_fine() {
        let modules = "/lib/modules/7.3.4+deb13-amd64";
        let fake = Fake::new(
            "prepared",
            &[
                ("/boot/config-7.3.4+deb13-amd64", "CONFIG_RUST=y\n"),
                (&format!("{modules}/build/Makefile"), ""),
                ("/usr/src/linux-source-7.3.tar.xz", ""),
            ],
        );
        assert!(check(&fake.machine)
            .iter()
            .all(|item| item.status == Status::Ok));
    }
}
