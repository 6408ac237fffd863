// SPDX-License-Identifier: GPL-2.0

//! Names of IP protocols that FOU carries.

/// Names in the order of preference: the first name of a number is shown.
const NAMES: &[(&str, u8)] = &[
    ("ipip", 4),
    ("ipv4", 4),
    ("tcp", 6),
    ("udp", 17),
    ("ipv6", 41),
    ("sit", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ospf", 89),
    ("etherip", 97),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
    ("mpls", 137),
];

/// Returns the name of a protocol.
pub fn name(number: u8) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|known| known.1 == number)
        .map(|known| known.0)
}

/// Reads a name, or a number from 1 to 255.
pub fn parse(text: &str) -> Result<u8, String> {
    if let Some(known) = NAMES
        .iter()
        .find(|known| known.0.eq_ignore_ascii_case(text))
    {
        return Ok(known.1);
    }
    match text.parse() {
        Ok(0) | Err(_) => {
            let names: Vec<_> = NAMES.iter().map(|known| known.0).collect();
            Err(format!(
                "an IP protocol is a number from 1 to 255 or one of {}",
                names.join(", ")
            ))
        }
        Ok(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn protocols_have_names_and_numbers() {
        assert_eq!(super::parse("gre"), Ok(47));
        assert_eq!(super::parse("GRE"), Ok(47));
        assert_eq!(super::parse("sit"), Ok(41));
        assert_eq!(super::parse("255"), Ok(255));
        for wrong in ["0", "256", "-1", "", "gr"] {
            assert!(super::parse(wrong).unwrap_err().contains("1 to 255"));
        }
        assert_eq!(super::name(41), Some("ipv6"));
    }
}
