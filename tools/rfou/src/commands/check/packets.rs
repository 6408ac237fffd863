// SPDX-License-Identifier: GPL-2.0

//! The way of a packet through nftables' rules, as `nft -j list ruleset` prints them.
//!
//! The packet is the first of its flow, from another host, UDP to a port of this host. All else is
//! not known, so that a rule matches, does not match, or may match.

use crate::port::Family;
use serde_json::Value;

/// The fate of a packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    Accepted,
    /// Accepted or dropped, depending on properties that are not known here.
    Depends,
    /// Dropped by this chain.
    Dropped(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Match {
    Yes,
    No,
    Maybe,
}

/// The verdicts that a chain may reach.
#[derive(Clone, Copy, Debug, Default)]
struct Ways {
    accept: bool,
    drop: bool,
    /// Go on after the jump.
    through: bool,
}

/// Chains and rules.
pub struct Ruleset {
    objects: Vec<Value>,
}

struct Packet {
    port: u16,
    family: Family,
}

/// The greatest depth of jumps. The kernel refuses deeper jumps.
const MAX_JUMPS: usize = 16;

impl Ruleset {
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        Some(Self {
            objects: value["nftables"].as_array()?.clone(),
        })
    }

    /// Follows a packet through all chains that it meets before its socket.
    pub fn fate(&self, port: u16, family: Family) -> Fate {
        let packet = Packet { port, family };
        let table_family = match family {
            Family::Ipv4 => "ip",
            Family::Ipv6 => "ip6",
        };
        let mut fate = Fate::Accepted;
        for chain in self.objects.iter().filter_map(|object| object.get("chain")) {
            let met = matches!(chain["hook"].as_str(), Some("input" | "prerouting"))
                && (chain["family"] == "inet" || chain["family"] == table_family);
            if !met {
                continue;
            }
            let ways = self.walk(chain, &packet, 0);
            let drops_by_policy = ways.through && chain["policy"] == "drop";
            let drop = ways.drop || drops_by_policy;
            let accept = ways.accept || ways.through && !drops_by_policy;
            match (drop, accept) {
                (true, false) => return Fate::Dropped(name(chain)),
                // A drop that may match, such as of invalid packets, is usual.
                (true, true) if drops_by_policy => fate = Fate::Depends,
                _ => (),
            }
        }
        fate
    }

    fn walk(&self, chain: &Value, packet: &Packet, depth: usize) -> Ways {
        let mut ways = Ways::default();
        let of_chain = |rule: &&Value| {
            rule["family"] == chain["family"]
                && rule["table"] == chain["table"]
                && rule["chain"] == chain["name"]
        };
        let rules = self.objects.iter().filter_map(|object| object.get("rule"));
        for rule in rules.filter(of_chain) {
            let ends = self.rule(rule, packet, depth, &mut ways);
            if ends {
                return ways;
            }
        }
        ways.through = true;
        ways
    }

    /// Adds the verdicts that a rule may reach. Returns `true` if the packet surely does not reach the next rule.
    fn rule(&self, rule: &Value, packet: &Packet, depth: usize, ways: &mut Ways) -> bool {
        let mut matched = Match::Yes;
        for part in rule["expr"].as_array().into_iter().flatten() {
            let Some((kind, value)) = part.as_object().and_then(|part| part.iter().next()) else {
                continue;
            };
            let found = match kind.as_str() {
                "match" => self.compare(rule, value, packet),
                "xt" | "limit" | "fib" | "quota" | "connlimit" => Match::Maybe,
                "vmap" => {
                    return self.verdict_map(rule, value, packet, depth, ways, matched);
                }
                _ if is_verdict(kind) => {
                    return self.verdict(rule, part, packet, depth, ways) && matched == Match::Yes;
                }
                _ => Match::Yes,
            };
            match found {
                Match::No => return false,
                Match::Maybe => matched = Match::Maybe,
                Match::Yes => (),
            }
        }
        false
    }

    /// Adds the effect of a verdict. Returns `true` if the packet surely does not reach the next rule.
    fn verdict(
        &self,
        rule: &Value,
        verdict: &Value,
        packet: &Packet,
        depth: usize,
        ways: &mut Ways,
    ) -> bool {
        let Some((kind, value)) = verdict.as_object().and_then(|part| part.iter().next()) else {
            return false;
        };
        match kind.as_str() {
            "accept" | "queue" => ways.accept = true,
            "drop" | "reject" => ways.drop = true,
            "return" => ways.through = true,
            "jump" | "goto" if depth < MAX_JUMPS => {
                let target = self.objects.iter().filter_map(|object| object.get("chain"));
                let target = target.into_iter().find(|chain| {
                    chain["family"] == rule["family"]
                        && chain["table"] == rule["table"]
                        && chain["name"] == value["target"]
                });
                let inside = target.map(|chain| self.walk(chain, packet, depth + 1));
                let inside = inside.unwrap_or(Ways {
                    through: true,
                    ..Ways::default()
                });
                ways.accept |= inside.accept;
                ways.drop |= inside.drop;
                if inside.through && kind == "jump" {
                    return false;
                }
                ways.through |= inside.through;
            }
            _ => return false,
        }
        true
    }

    fn verdict_map(
        &self,
        rule: &Value,
        map: &Value,
        packet: &Packet,
        depth: usize,
        ways: &mut Ways,
        matched: Match,
    ) -> bool {
        let entries = match map["data"].as_str() {
            Some(_) => self.elements(rule, &map["data"]),
            None => map["data"]["set"].as_array(),
        };
        for entry in entries.into_iter().flatten() {
            match value_matches(&map["key"], &entry[0], packet) {
                Match::No => (),
                Match::Yes => {
                    return self.verdict(rule, &entry[1], packet, depth, ways)
                        && matched == Match::Yes;
                }
                Match::Maybe => {
                    self.verdict(rule, &entry[1], packet, depth, ways);
                }
            }
        }
        false
    }

    fn compare(&self, rule: &Value, value: &Value, packet: &Packet) -> Match {
        let (left, right) = (&value["left"], &value["right"]);
        let found = match self.elements(rule, right) {
            Some(elements) => any(elements, |element| value_matches(left, element, packet)),
            None => value_matches(left, right, packet),
        };
        match (value["op"].as_str(), found) {
            (Some("==" | "in") | None, found) => found,
            (Some("!="), Match::Yes) => Match::No,
            (Some("!="), Match::No) => Match::Yes,
            _ => Match::Maybe,
        }
    }

    /// Returns the elements of a named set, "@name".
    fn elements(&self, rule: &Value, right: &Value) -> Option<&Vec<Value>> {
        let name = right.as_str()?.strip_prefix('@')?;
        self.objects
            .iter()
            .filter_map(|object| object.get("set").or_else(|| object.get("map")))
            .find(|set| {
                set["name"] == name
                    && set["table"] == rule["table"]
                    && set["family"] == rule["family"]
            })?["elem"]
            .as_array()
    }
}

fn name(chain: &Value) -> String {
    let part = |key: &str| chain[key].as_str().unwrap_or("?").to_string();
    format!(
        "chain {} {} {}",
        part("family"),
        part("table"),
        part("name")
    )
}

fn is_verdict(kind: &str) -> bool {
    [
        "accept", "drop", "reject", "return", "jump", "goto", "queue",
    ]
    .contains(&kind)
}

fn any(elements: &[Value], matches: impl Fn(&Value) -> Match) -> Match {
    let mut found = Match::No;
    for element in elements {
        match matches(element) {
            Match::Yes => return Match::Yes,
            Match::Maybe => found = Match::Maybe,
            Match::No => (),
        }
    }
    found
}

/// Compares one side of a match, or one key of a map, with the packet.
fn value_matches(left: &Value, right: &Value, packet: &Packet) -> Match {
    if let Some(elements) = right["set"].as_array().or_else(|| right.as_array()) {
        return any(elements, |element| value_matches(left, element, packet));
    }
    if let Some(value) = right.get("elem").and_then(|element| element.get("val")) {
        return value_matches(left, value, packet);
    }
    let is = |known: bool| if known { Match::Yes } else { Match::No };
    let (ip, other) = match packet.family {
        Family::Ipv4 => ("ip", "ip6"),
        Family::Ipv6 => ("ip6", "ip"),
    };
    let payload = &left["payload"];
    match (payload["protocol"].as_str(), payload["field"].as_str()) {
        (Some("udp" | "th"), Some("dport")) => return port_matches(right, packet.port),
        (Some("udp" | "th"), _) => return Match::Maybe,
        (Some(protocol), Some("protocol" | "nexthdr")) if protocol == ip => {
            return is(right == "udp" || *right == 17);
        }
        (Some(protocol), _) if protocol == other => return Match::No,
        (Some("tcp" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "ah"), _) => {
            return Match::No;
        }
        _ => (),
    }
    match left["meta"]["key"].as_str() {
        Some("l4proto") => return is(right == "udp" || *right == 17),
        Some("nfproto") => {
            let word = match packet.family {
                Family::Ipv4 => "ipv4",
                Family::Ipv6 => "ipv6",
            };
            return is(right == word);
        }
        Some("protocol") => return is(right == ip),
        Some("iif" | "iifname") if right == "lo" => return Match::No,
        _ => (),
    }
    match left["ct"]["key"].as_str() {
        Some("state") => is(right == "new"),
        _ => Match::Maybe,
    }
}

fn port_matches(right: &Value, port: u16) -> Match {
    let port = u64::from(port);
    if let Some(number) = right.as_u64() {
        return if number == port {
            Match::Yes
        } else {
            Match::No
        };
    }
    match right["range"].as_array().map(Vec::as_slice) {
        Some([low, high]) => match (low.as_u64(), high.as_u64()) {
            (Some(low), Some(high)) if (low..=high).contains(&port) => Match::Yes,
            (Some(_), Some(_)) => Match::No,
            _ => Match::Maybe,
        },
        _ => Match::Maybe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ruleset(policy: &str, rules: &[Value]) -> Ruleset {
        let mut objects = vec![
            json!({"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter",
                "hook": "input", "prio": 0, "policy": policy}}),
            json!({"chain": {"family": "inet", "table": "filter", "name": "tunnels"}}),
            json!({"set": {"family": "inet", "table": "filter", "name": "open",
                "elem": [22, {"range": [5000, 6000]}]}}),
        ];
        for rule in rules {
            let chain = rule.get(1).unwrap_or(&Value::Null);
            let chain = chain.as_str().unwrap_or("input");
            let expr = rule.get(0).filter(|_| rule[1].is_string()).unwrap_or(rule);
            objects.push(json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "expr": expr}}));
        }
        Ruleset { objects }
    }

    fn dport(right: Value) -> Value {
        json!({"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": right}})
    }

    fn fate(policy: &str, rules: &[Value]) -> Fate {
        ruleset(policy, rules).fate(5555, Family::Ipv4)
    }

    fn dropped() -> Fate {
        Fate::Dropped("chain inet filter input".into())
    }

    #[test]
    fn the_policy_decides_without_rules() {
        assert_eq!(fate("accept", &[]), Fate::Accepted);
        assert_eq!(fate("drop", &[]), dropped());
    }

    #[test]
    fn rules_about_the_port_decide() {
        let accept = json!({"accept": null});
        for right in [
            json!(5555),
            json!({"set": [22, 5555]}),
            json!({"range": [5000, 6000]}),
            json!("@open"),
        ] {
            assert_eq!(
                fate("drop", &[json!([dport(right), accept])]),
                Fate::Accepted
            );
        }
        assert_eq!(
            fate("drop", &[json!([dport(json!(5556)), accept])]),
            dropped()
        );
        let drop =
            json!([dport(json!(5555)), {"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]);
        assert_eq!(fate("accept", &[drop]), dropped());
    }

    #[test]
    fn rules_about_other_packets_do_not_decide() {
        let state = json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}});
        let lo =
            json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}});
        let tcp = json!({"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 5555}});
        let accept = json!({"accept": null});
        let rules = [
            json!([state, accept]),
            json!([lo, accept]),
            json!([tcp, accept]),
        ];
        assert_eq!(fate("drop", &rules), dropped());
        let invalid = json!([{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}, {"drop": null}]);
        assert_eq!(fate("accept", &[invalid]), Fate::Accepted);
    }

    #[test]
    fn what_is_not_known_may_be() {
        let from = json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.2"}});
        assert_eq!(
            fate(
                "drop",
                &[json!([from, dport(json!(5555)), {"accept": null}])]
            ),
            Fate::Depends
        );
        assert_eq!(
            fate("accept", &[json!([from, {"drop": null}])]),
            Fate::Accepted
        );
    }

    #[test]
    fn jumps_and_maps_are_followed() {
        let jump = json!([{"jump": {"target": "tunnels"}}]);
        let inside = json!([[dport(json!(5555)), {"accept": null}], "tunnels"]);
        assert_eq!(fate("drop", &[jump.clone(), inside]), Fate::Accepted);
        assert_eq!(fate("drop", &[jump]), dropped());
        let map = json!([{"vmap": {"key": {"payload": {"protocol": "udp", "field": "dport"}},
            "data": {"set": [[22, {"drop": null}], [5555, {"accept": null}]]}}}]);
        assert_eq!(fate("drop", &[map]), Fate::Accepted);
    }
}
