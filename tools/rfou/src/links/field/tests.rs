// SPDX-License-Identifier: GPL-2.0

use super::*;

#[test]
fn values_are_read_as_they_were_put() {
    let asked = json!({
        "id": 7, "remote": "192.0.2.2", "local": "2001:db8::1", "port": 6081, "dport": 6080,
        "sport": 1024, "srcport": [1000, 2000], "mode": "ethernet", "variant": 1,
        "external": true, "ttl": 64, "tos": "inherit", "df": "inherit", "flowlabel": 0xabcde,
        "udpcsum": true, "udp6zerocsumtx": false, "udp6zerocsumrx": true, "remcsum": "linux",
        "auth": "hmac", "cover": "all", "headercsum": 65534, "crc": true,
        "fragment": 1280,
        "keepalive": 65534, "dead": 65535, "roaming": true,
    });
    let mut request = Builder::default();
    for (name, value) in asked.as_object().unwrap() {
        let field = Field::find(name).unwrap();
        assert_eq!(field.check(value), Ok(()), "{name}");
        request = field.put(request, value, false).unwrap();
    }
    assert_eq!(Value::Object(read_all(&request.build())), asked);
}

#[test]
fn wrong_values_are_refused() {
    for (name, wrong) in [
        ("id", json!(-1)),
        ("id", json!(1_u64 << 32)),
        ("remote", json!("example")),
        ("port", json!(0)),
        ("port", json!(65536)),
        ("sport", json!("none")),
        ("srcport", json!([2000, 1000])),
        ("srcport", json!([1000])),
        ("mode", json!("tap")),
        ("variant", json!(2)),
        ("ttl", json!(256)),
        ("flowlabel", json!(1 << 20)),
        ("udpcsum", json!(1)),
        ("auth", json!("md5")),
        ("cover", json!(65535)),
        ("cover", json!(true)),
        ("headercsum", json!(-1)),
        ("crc", json!("none")),
        ("fragment", json!(0)),
        ("fragment", json!(65536)),
        ("fragment", json!("all")),
        ("keepalive", json!(65535)),
        ("keepalive", json!("off")),
        ("dead", json!(0)),
        ("dead", json!(1)),
        ("dead", json!(65536)),
        ("roaming", json!(1)),
    ] {
        let refused = Field::find(name).unwrap().check(&wrong);
        assert!(refused.is_err(), "{name} = {wrong}");
    }
}

#[test]
fn any_is_of_the_ip_version_of_the_other_address() {
    let remote = Field::find("remote").unwrap();
    let put = |ipv6| {
        remote
            .put(Builder::default(), &json!("any"), ipv6)
            .unwrap()
            .build()
    };
    assert_eq!(attributes(&put(false)), [(2, &[0; 4][..])]);
    assert_eq!(attributes(&put(true)), [(3, &[0; 16][..])]);
    // A file that was written from the system makes the same device again.
    for (ipv6, shown) in [(false, "any"), (true, "::")] {
        let read = read_all(&put(ipv6))["remote"].clone();
        assert_eq!(read, shown);
        let again = remote.put(Builder::default(), &read, false).unwrap();
        assert_eq!(again.build(), put(ipv6));
        assert_eq!(remote.canonical(&read), "any");
    }
}

#[test]
fn a_checksum_has_its_switch_and_its_coverage() {
    for (value, bytes) in [
        (json!(false), None),
        (json!(true), Some(0)),
        (json!(100), Some(100)),
        (json!("all"), Some(65535)),
    ] {
        let crc = Field::find("crc").unwrap();
        let request = crc.put(Builder::default(), &value, false).unwrap();
        let mut expected = Builder::default().put_u8(28, bytes.is_some().into());
        if let Some(bytes) = bytes {
            expected = expected.put_u16(29, bytes);
        }
        assert_eq!(request.clone().build(), expected.build());
        assert_eq!(read_all(&request.build())["crc"], value);
    }
    assert_eq!(Field::find("crc").unwrap().canonical(&json!(0)), true);
}

#[test]
fn fragments_have_their_switch_and_their_size() {
    for (value, bytes) in [
        (json!(false), None),
        (json!(true), Some(0)),
        (json!(1280), Some(1280)),
    ] {
        let fragment = Field::find("fragment").unwrap();
        let request = fragment.put(Builder::default(), &value, false).unwrap();
        let mut expected = Builder::default().put_u8(30, bytes.is_some().into());
        if let Some(bytes) = bytes {
            expected = expected.put_u16(31, bytes);
        }
        assert_eq!(request.clone().build(), expected.build());
        assert_eq!(read_all(&request.build())["fragment"], value);
    }
}

#[test]
fn an_hmac_covers_nothing_unless_asked_and_a_cookie_has_no_coverage() {
    let cover = Field::find("cover").unwrap();
    let mut others = Map::new();
    assert_eq!(cover.default(&others), Value::Null);
    others.insert("auth".into(), json!("hmac"));
    assert_eq!(cover.default(&others), json!(0));
}

#[test]
fn a_peer_is_dead_after_three_keepalives_unless_told_otherwise() {
    let dead = Field::find("dead").unwrap();
    let default = |seconds: Value| {
        let mut others = Map::new();
        others.insert("keepalive".into(), seconds);
        dead.default(&others)
    };
    assert_eq!(dead.default(&Map::new()), Value::Null);
    assert_eq!(default(json!(0)), Value::Null);
    assert_eq!(default(json!(5)), json!(15));
    assert_eq!(default(json!(65534)), json!(65535));
    assert_eq!(
        dead.put(Builder::default(), &Value::Null, false)
            .unwrap()
            .build(),
        Builder::default().build()
    );
}

#[test]
fn numbers_of_attributes_are_those_of_the_spec() {
    let spec = include_str!("../../../../../Documentation/netlink/rt-link-gue.yaml");
    let names = crate::netlink::tests::names_in_spec(spec, "linkinfo-gue-attrs");
    for (name, number) in [
        ("auth", 24),
        ("headercsum-cover", 27),
        ("crc-cover", 29),
        ("fragment-size", 31),
        ("keepalive", 32),
        ("dead", 33),
        ("roaming", 34),
    ] {
        assert_eq!(names[number - 1], name);
    }
    let last = FIELDS
        .iter()
        .flat_map(|field| field.attributes())
        .flatten()
        .max();
    assert_eq!(last, Some(names.len() as u16));
}

#[test]
fn the_listening_port_is_by_default_the_destination_port() {
    let port = Field::find("port").unwrap();
    let mut others = Map::new();
    assert_eq!(port.default(&others), json!(6080));
    others.insert("dport".into(), json!(7000));
    assert_eq!(port.default(&others), json!(7000));
}
