// SPDX-License-Identifier: GPL-2.0

//! rfou's modules, Linux's fou, which excludes them, and the plug-in of `ip`.

use super::{Item, Machine, Status};
use std::{ffi::OsString, path::PathBuf};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn check(machine: &Machine) -> Vec<Item> {
    vec![
        module(machine, "rfou", "FOU and GUE ports", true),
        module(machine, "rfou6", "FOU and GUE in tunnels over IPv6", false),
        module(machine, "rgue", "gue devices", false),
        linux_fou(machine),
    ]
}

/// Returns the file that modprobe loads.
pub fn file(machine: &Machine, module: &str) -> Option<PathBuf> {
    ["updates", "updates/dkms", "extra", "kernel/net/ipv4"]
        .iter()
        .flat_map(|folder| machine.list(&machine.module_file(folder)))
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == format!("{module}.ko") || name.starts_with(&format!("{module}.ko."))
        })
}

fn module(machine: &Machine, module: &'static str, use_: &str, needed: bool) -> Item {
    if machine.is_loaded(module) {
        let version = machine.read(&format!("/sys/module/{module}/version"));
        return match version.as_deref().map(str::trim) {
            Some(VERSION) => Item::new(module, Status::Ok, format!("{VERSION} is loaded")),
            version => Item::todo(
                module,
                format!(
                    "version {} is loaded, and this command is {VERSION}",
                    version.unwrap_or("unknown")
                ),
                format!("install the same versions, then 'rmmod {module}' and 'modprobe {module}'"),
            ),
        };
    }
    match file(machine, module) {
        Some(file) => Item::new(
            module,
            Status::Ok,
            format!("{} is installed, not loaded", file.display()),
        )
        .with_todo(format!("'modprobe {module}' loads it: {use_}")),
        None if needed => Item::todo(
            module,
            format!("is not installed for {}", machine.release),
            "'make modules' and 'sudo make install' in rfou's source, or install its DKMS package",
        ),
        None => Item::new(
            module,
            Status::Note,
            format!("is not installed for {}: no {use_}", machine.release),
        ),
    }
}

fn linux_fou(machine: &Machine) -> Item {
    let name = "Linux's fou";
    let builtin = machine.read(&machine.module_file("modules.builtin"));
    if builtin.is_some_and(|list| list.lines().any(|line| line.ends_with("/fou.ko"))) {
        return Item::todo(
            name,
            "is built into the kernel, so that rfou cannot load",
            "use a kernel with CONFIG_NET_FOU=m or =n",
        );
    }
    let loaded: Vec<_> = ["fou6", "fou"]
        .into_iter()
        .filter(|module| machine.is_loaded(module))
        .collect();
    match loaded.is_empty() {
        true => Item::new(name, Status::Ok, "is not loaded"),
        false => Item::todo(
            name,
            "is loaded, so that rfou cannot load",
            format!(
                "delete its tunnels, then 'rmmod {}' and 'modprobe rfou'",
                loaded.join(" ")
            ),
        ),
    }
}

/// Looks for the plug-in by which `ip` knows the kind `gue`.
pub fn plugin(machine: &Machine, chosen: Option<OsString>) -> Item {
    let name = "plug-in of ip";
    let mut folders: Vec<_> = chosen
        .map(|folder| folder.to_string_lossy().into_owned())
        .into_iter()
        .collect();
    for path in machine.list("/usr/lib") {
        if path.join("ip").is_dir() {
            let folder = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            folders.push(format!("/usr/lib/{folder}/ip"));
        }
    }
    folders.extend(["/usr/lib/ip".into(), "/usr/local/lib/ip".into()]);
    let found = folders
        .iter()
        .map(|folder| format!("{folder}/link_gue.so"))
        .find(|path| machine.exists(path));
    match found {
        Some(path) => Item::new(name, Status::Ok, path),
        None if file(machine, "rgue").is_some() || machine.is_loaded("rgue") => Item::todo(
            name,
            "link_gue.so is not installed, so that 'ip link' shows gue devices without their properties",
            "'sudo make install' in rfou's source",
        ),
        None => Item::new(name, Status::Note, "link_gue.so is not installed; gue devices need it"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{status, Fake};
    use super::*;

    #[test]
    fn modules_are_found_by_their_files_and_versions() {
        let fake = Fake::new(
            "modules",
            &[
                ("/sys/module/rfou/version", "0.0.1\n"),
                ("/lib/modules/7.3.4+deb13-amd64/updates/dkms/rgue.ko.xz", ""),
            ],
        );
        let items = check(&fake.machine);
        assert_eq!(status(&items, "rfou"), Status::Todo, "another version");
        assert_eq!(status(&items, "rfou6"), Status::Note, "absent");
        assert_eq!(status(&items, "rgue"), Status::Ok, "installed");
        assert_eq!(status(&items, "Linux's fou"), Status::Ok);
        assert_eq!(plugin(&fake.machine, None).status, Status::Todo);
    }

    #[test]
    fn linuxs_fou_is_told_loaded_or_built_in() {
        let loaded = Fake::new("loaded", &[("/sys/module/fou/refcnt", "0\n")]);
        let item = linux_fou(&loaded.machine);
        assert!(item.todo.unwrap().contains("rmmod fou"));
        let builtin = Fake::new(
            "builtin",
            &[(
                "/lib/modules/7.3.4+deb13-amd64/modules.builtin",
                "kernel/net/ipv4/fou.ko\n",
            )],
        );
        assert!(linux_fou(&builtin.machine).text.contains("built into"));
    }
}
