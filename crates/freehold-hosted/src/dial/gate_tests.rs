use super::*;

fn gate(url: &str, perimeter: Perimeter, inside: &Networks) -> Result<Gate, SettingsError> {
    Gate::new(&Url::parse(url).unwrap(), perimeter, inside)
}

#[track_caller]
fn answers(gate: &Gate, texts: &[&str]) -> Result<(), DialError> {
    let addresses: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
    gate.check_answers(&addresses)
}

#[test]
fn a_name_inside_resolves_to_private_addresses_only() {
    let gate = gate(
        "http://gpu.lan:8000/v1",
        Perimeter::Inside,
        &Networks::private(),
    )
    .unwrap();
    for good in [
        &["10.1.2.3"][..],
        &["127.0.0.1", "::1"],
        &["192.168.7.7", "fd12::1"],
        &["::ffff:172.16.0.9"],
    ] {
        assert_eq!(answers(&gate, good), Ok(()), "{good:?}");
    }
    for bad in [
        &["203.0.113.9"][..],
        &["10.1.2.3", "203.0.113.9"],
        &["203.0.113.9", "10.1.2.3"],
        &["169.254.169.254"],
        &["fd00:ec2::254"],
        &["0.0.0.0"],
        &["::"],
        &["100.64.0.1"],
        &["fe80::1"],
        &["::ffff:203.0.113.9"],
        &["64:ff9b::a00:1"],
        &["2606:4700::1111"],
        &["224.0.0.1"],
    ] {
        assert!(
            matches!(answers(&gate, bad), Err(DialError::Refused { .. })),
            "{bad:?}"
        );
    }
    assert!(matches!(answers(&gate, &[]), Err(DialError::NoAddress(_))));
}

#[test]
fn the_operators_list_replaces_the_private_ranges() {
    let list = Networks::declared(&["203.0.113.0/24"]).unwrap();
    let gate = gate("http://gpu.lan/v1", Perimeter::Inside, &list).unwrap();
    assert_eq!(answers(&gate, &["203.0.113.9"]), Ok(()));
    assert!(answers(&gate, &["10.0.0.1"]).is_err());
    let everything = Networks::declared(&["0.0.0.0/0", "::/0"]).unwrap();
    let gate = self::gate("http://gpu.lan/v1", Perimeter::Inside, &everything).unwrap();
    assert_eq!(answers(&gate, &["203.0.113.9"]), Ok(()));
    assert!(
        answers(&gate, &["169.254.169.254"]).is_err(),
        "not even then"
    );
}

#[test]
fn a_vendor_is_not_this_machine() {
    let gate = gate(
        "https://api.openai.com/v1",
        Perimeter::Outside,
        &Networks::private(),
    )
    .unwrap();
    for good in ["162.159.140.245", "2606:4700::1111", "10.9.8.7"] {
        assert_eq!(answers(&gate, &[good]), Ok(()), "{good}");
    }
    for bad in [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "169.254.7.7",
        "169.254.169.254",
        "::ffff:127.0.0.1",
    ] {
        assert!(answers(&gate, &[bad]).is_err(), "{bad}");
    }
    let tunnel = self::gate(
        "http://localhost:9/v1",
        Perimeter::Outside,
        &Networks::private(),
    )
    .unwrap();
    assert_eq!(answers(&tunnel, &["127.0.0.1", "::1"]), Ok(()));
    assert!(answers(&tunnel, &["169.254.169.254"]).is_err());
}

/// However an address is spelt, the URL parser makes it one of four numbers.
#[test]
fn odd_spellings_of_addresses_are_seen_through() {
    let list = Networks::declared(&["10.0.0.0/8"]).unwrap();
    for (spelt, meant) in [
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("１２７.０.０.１", "127.0.0.1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("3405803777", "203.0.113.1"),
        ("[::ffff:203.0.113.1]", "::ffff:203.0.113.1"),
    ] {
        let url = format!("http://{spelt}:8000/v1");
        let error = gate(&url, Perimeter::Inside, &list)
            .unwrap_err()
            .to_string();
        let meant: IpAddr = meant.parse().unwrap();
        assert!(error.contains(&meant.to_string()), "{spelt}: {error}");
        // Without a list, the literal is the declaration.
        gate(&url, Perimeter::Inside, &Networks::private()).unwrap();
    }
    for spelt in [
        "10.0.0.1",
        "0xa000001",
        "167772161",
        "10.1",
        "[::ffff:10.0.0.1]",
    ] {
        gate(&format!("http://{spelt}/"), Perimeter::Inside, &list).unwrap();
    }
}

#[test]
fn credentials_of_the_cloud_are_no_backend() {
    for spelt in [
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "169.254.43518",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        for perimeter in [Perimeter::Inside, Perimeter::Outside] {
            let url = format!("http://{spelt}/latest");
            let error = gate(&url, perimeter, &Networks::private()).unwrap_err();
            assert!(
                matches!(error, SettingsError::Address { .. }),
                "{spelt}: {error}"
            );
        }
    }
}

#[test]
fn only_the_configured_place_is_dialled() {
    let gate = gate(
        "http://gpu.lan:8000/v1",
        Perimeter::Inside,
        &Networks::private(),
    )
    .unwrap();
    let check = |uri: &str| gate.check_uri(&uri.parse().unwrap());
    assert_eq!(check("http://gpu.lan:8000/v1/models"), Ok(()));
    assert_eq!(check("http://GPU.lan:8000/"), Ok(()));
    for other in [
        "http://gpu.lan/v1",
        "http://gpu.lan:8001/v1",
        "https://gpu.lan:8000/v1",
        "http://gpu.lan.evil.test:8000/v1",
        "http://10.0.0.1:8000/v1",
    ] {
        assert!(check(other).is_err(), "{other}");
    }
    assert_eq!(gate.check_name("gpu.lan"), Ok(()));
    assert!(gate.check_name("evil.test").is_err());
}
