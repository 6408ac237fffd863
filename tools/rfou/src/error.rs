// SPDX-License-Identifier: GPL-2.0

//! Errors as a user reads them: a message, the argument at fault, the way out, and an exit status.

use serde::Serialize;
use std::{fmt, io};

/// The kind of an error, which decides the exit status.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The kernel refused the request, or something else went wrong.
    Failed,
    /// The command line or the file is wrong. Nothing was changed.
    Usage,
    /// The caller lacks a permission.
    Permission,
    /// The port, link or namespace does not exist.
    NotFound,
    /// The port exists already, or another program has its UDP port.
    InUse,
    /// The kernel lacks what the request needs.
    Unsupported,
}

impl Kind {
    /// Returns the exit status.
    pub fn status(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Permission => 3,
            Kind::NotFound => 4,
            Kind::InUse => 5,
            Kind::Unsupported => 6,
        }
    }
}

/// The exit status of `apply --dry-run` if the system differs from the file.
pub const WOULD_CHANGE: u8 = 7;

/// An error with everything that its message says.
#[derive(Clone, Debug, Serialize)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            argument: None,
            hint: None,
            errno: None,
        }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Names the argument at fault.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.argument = Some(argument.into());
        self
    }

    /// Names the way out.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prepends a description of the failed action to the message.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Maps an I/O error of `what`, a path or an action.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => Kind::Permission,
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Failed,
        };
        let mut this = Self::new(kind, format!("{what}: {}", describe(error)));
        this.errno = error.raw_os_error();
        this
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(argument) = &self.argument {
            write!(f, " (argument: {argument})")?;
        }
        Ok(())
    }
}

/// Returns an I/O error's text without "(os error N)".
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}
