// SPDX-License-Identifier: GPL-2.0

//! Secure Boot, enforced signatures, and the key of the module.

use super::{modules, Item, Machine, Status};
use std::{fs, process::Command};

const VARIABLE: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The end of a signed module's file.
const SIGNATURE: &[u8] = b"~Module signature appended~\n";
/// The key with which DKMS signs.
const KEY: &str = "/var/lib/dkms/mok.pub";

pub fn check(machine: &Machine) -> Item {
    let name = "signatures";
    let Some(why) = enforced(machine) else {
        return Item::new(name, Status::Ok, "the kernel loads unsigned modules");
    };
    if machine.is_loaded("rfou") {
        return Item::new(name, Status::Ok, format!("{why}; rfou is loaded"));
    }
    let Some(file) = modules::file(machine, "rfou") else {
        return Item::new(
            name,
            Status::Note,
            format!("{why}: the kernel refuses modules without a signature by an enrolled key"),
        );
    };
    let compressed = file.extension().is_some_and(|end| end != "ko");
    let signed = fs::read(&file).is_ok_and(|bytes| bytes.ends_with(SIGNATURE));
    if !signed && !compressed {
        return Item::todo(
            name,
            format!("{why}, and {} is not signed", file.display()),
            "sign it with the kernel's scripts/sign-file and an enrolled key, or let DKMS build and sign it",
        );
    }
    match key_is_enrolled(machine) {
        Some(true) => Item::new(
            name,
            Status::Ok,
            format!("{why}; the key {KEY} is enrolled"),
        ),
        Some(false) => Item::todo(
            name,
            format!("{why}, and the key {KEY} is not enrolled"),
            format!("'mokutil --import {KEY}', reboot, and enroll the key"),
        ),
        None => Item::new(
            name,
            Status::Unknown,
            format!("{why}; it is not known whether the key of rfou.ko is enrolled"),
        ),
    }
}

/// Returns why the kernel refuses unsigned modules, if it does.
fn enforced(machine: &Machine) -> Option<&'static str> {
    let text = |path| machine.read(path).unwrap_or_default();
    if text("/sys/module/module/parameters/sig_enforce").trim() == "Y" {
        return Some("the kernel enforces signatures");
    }
    let lockdown = text("/sys/kernel/security/lockdown");
    if lockdown.contains("[integrity]") || lockdown.contains("[confidentiality]") {
        return Some("the kernel is locked down");
    }
    // Four bytes of attributes, then the value.
    let on = text(VARIABLE).as_bytes().last() == Some(&1);
    on.then_some("Secure Boot is on")
}

/// Asks mokutil; `None` if there is no key or no mokutil.
fn key_is_enrolled(machine: &Machine) -> Option<bool> {
    if !machine.exists(KEY) {
        return None;
    }
    let asked = Command::new("mokutil")
        .args(["--test-key", KEY])
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&asked.stdout).contains("is already enrolled"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fake;
    use super::*;

    #[test]
    fn an_unsigned_module_under_secure_boot_is_told() {
        let module = "/lib/modules/7.3.4+deb13-amd64/updates/rfou.ko";
        let boot = (VARIABLE, "\x06\0\0\0\x01");
        let off = Fake::new("off", &[(VARIABLE, "\x06\0\0\0\0")]);
        assert_eq!(check(&off.machine).status, Status::Ok);
        let unsigned = Fake::new("unsigned", &[boot, (module, "ELF")]);
        assert_eq!(check(&unsigned.machine).status, Status::Todo);
        let signed = Fake::new(
            "signed",
            &[boot, (module, "ELF~Module signature appended~\n")],
        );
        assert_eq!(check(&signed.machine).status, Status::Unknown);
        let absent = Fake::new(
            "absent",
            &[("/sys/kernel/security/lockdown", "none [integrity]")],
        );
        assert_eq!(check(&absent.machine).status, Status::Note);
    }
}
