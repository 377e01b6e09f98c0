use crate::detect::tests::{entities, finds};

/// True when exactly this is found of an entity type.
fn check(entity: &str, text: &str, expected: &str) {
    let seen = entities(text);
    assert!(
        seen.contains(&(entity.to_owned(), expected.to_owned())),
        "{entity} {expected} in {text}: {seen:?}"
    );
}

fn check_none(entity: &str, text: &str) {
    assert!(
        !finds(text, entity),
        "{entity} in {text}: {:?}",
        entities(text)
    );
}

#[test]
fn e_mail_addresses() {
    for address in [
        "jane@example.org",
        "jane.doe+tag@mail.example.co.uk",
        "o'brien@example.org",
        "jürgen@müller.de",
        "用户@例子.中国",
        "x@xn--bcher-kva.example",
        "\"jane doe\"@example.org",
        "jane_doe-1@sub-domain.example.museum",
    ] {
        check("email_address", address, address);
        check(
            "email_address",
            &format!("Write to <{address}>, please."),
            address,
        );
        check("email_address", &format!("mailto:{address}."), address);
        check(
            "email_address",
            &format!("{{\"to\":\"{address}\"}}"),
            address,
        );
    }
    check("email_address", "a@b.org,c@d.org", "c@d.org");
    check(
        "email_address",
        "to=jane@example.org&x=1",
        "jane@example.org",
    );
    for text in [
        "icon@2x.png",
        "@angular/core@12.0.1",
        "git@github.com:owner/repository.git",
        "user@localhost",
        "@app.route('/x')",
        "a @ b.org",
        "foo@bar",
        "price@1.50",
        "@@@@ @. .@",
    ] {
        check_none("email_address", text);
    }
}

#[test]
fn telephone_numbers_of_many_countries() {
    for number in [
        "+1 212-555-0100",
        "+44 20 7946 0958",
        "+49 (0)30 1234567",
        "+33 1 23 45 67 89",
        "+393471234567",
        "+34 612 345 678",
        "+31 6 12345678",
        "+61 412 345 678",
        "+91 98765 43210",
        "+65 9123 4567",
        "+82 10-1234-5678",
        "+81 90-1234-5678",
        "+55 11 91234-5678",
        "+27 82 123 4567",
        "0044 20 7946 0958",
        "(212) 555-0100",
        "212-555-0100",
        "212.555.0100",
        "1-800-555-0199",
        "212-555-0100 ext. 123",
        "020 7946 0958",
        "07700 900123",
        "030/1234567",
        "01 23 45 67 89",
        "612 345 678",
        "06-12345678",
        "(02) 9374 4000",
        "98765 43210",
        "010-1234-5678",
        "03-1234-5678",
        "(11) 91234-5678",
        "082 123 4567",
    ] {
        check("phone_number", number, number);
        check("phone_number", &format!("Please note {number}."), number);
        check("phone_number", &format!("tel:{number}, then"), number);
    }
    check("phone_number", "call 5550100 now", "5550100");
    check("phone_number", "telefon 40123456", "40123456");
    for text in [
        "2024-11-21 05:24:59",
        "(2018 - 2022) and (1990-1991)",
        "version 1.2.3.4567",
        "1 000 000 000 and 123 456 789",
        "12345678901234567890",
        "192.168.100.200",
        "4111 1111 1111 1112",
        "order 212555010012",
        "x = 123-456 + 789-12",
        "3.14159265358979",
        "rows 100 200 300 400",
        "0.123 456 789",
    ] {
        check_none("phone_number", text);
    }
}

#[test]
fn addresses_in_networks() {
    for address in [
        "192.168.100.200",
        "8.8.8.8",
        "2001:db8::ff00:42:8329",
        "fe80::1ff:fe23:4567:890a",
        "3b20:9a3a:1b2f:7ce:9ef1:4787:85fc:261e",
    ] {
        check("ip_address", &format!("from {address} at noon"), address);
        check("ip_address", &format!("[{address}]"), address);
    }
    check("ip_address", "ping 10.1.2.3:8080", "10.1.2.3");
    for address in ["00:1a:2b:3c:4d:5e", "00-1A-2B-3C-4D-5E", "001a.2b3c.4d5e"] {
        check("mac_address", &format!("MAC {address}"), address);
    }
    for text in [
        "version 4.1.1.1",
        "Chrome/110.0.0.0 Safari",
        "127.0.0.1 and 0.0.0.0 and 255.255.255.0",
        "1.2.3.4.5 and 300.1.2.3",
        "std::fmt::Display, a::b, dead::beef",
        "at 12:34:56, ratio 16:9",
        "00:00:00:00:00:00",
        "12-34-56-78-90-12",
    ] {
        check_none("ip_address", text);
        check_none("mac_address", text);
    }
}

#[test]
fn dates_and_dates_of_birth() {
    for date in [
        "1985-05-20",
        "20.05.1985",
        "5/20/1985",
        "20/5/85",
        "May 20, 1985",
        "May 20th 1985",
        "20 May 1985",
        "20th of May 1985",
        "20. Mai 1985",
        "20 de mayo de 1985",
        "20 mai 1985",
        "20 maggio 1985",
    ] {
        check("date", &format!("Seen on {date}, once."), date);
        for word in [
            "born on",
            "DOB:",
            "geboren am",
            "née le",
            "fecha de nacimiento:",
            "urodzony",
            "date of birth is",
        ] {
            check("date_of_birth", &format!("She: {word} {date}."), date);
        }
    }
    check("date_of_birth", "birthday: May 20", "May 20");
    check(
        "date",
        "Date: 1978-04-13 12:20:39\nName",
        "1978-04-13 12:20:39",
    );
    for text in [
        "1985-13-20",
        "32.05.1985",
        "version 1.2.2024.7",
        "12/25",
        "may 20 people come",
        "10.0.0.1",
        "1/2/3",
        "May I come in March?",
    ] {
        check_none("date", text);
        check_none("date_of_birth", text);
    }
}

#[test]
fn ages() {
    for (text, age) in [
        ("Age: 45", "45"),
        ("a 39 year old man", "39"),
        ("a 39-year-old man", "39"),
        ("I just turned 54", "54"),
        ("aged 7", "7"),
        ("I'm 41, married", "41"),
        ("i'm 41 y/o", "41"),
        ("er ist 41 Jahre alt", "41"),
    ] {
        check("age", text, age);
    }
    for text in [
        "page 45",
        "I'm 45 minutes late",
        "aged 450",
        "5 years ago",
        "turned 90 degrees".trim_end_matches("90 degrees"),
        "a 3.5 year old",
        "turn 2 times",
    ] {
        check_none("age", text);
    }
}

#[test]
fn street_addresses() {
    for (text, part) in [
        (
            "I live at 123 Main Street, Springfield, IL 62704.",
            "123 Main Street, Springfield, IL 62704",
        ),
        (
            "Send it to 45 Old Mill Rd, Unit 7.",
            "45 Old Mill Rd, Unit 7",
        ),
        ("i live at 12 elm street", "12 elm street"),
        (
            "Wir wohnen Hauptstraße 12, 10115 Berlin",
            "Hauptstraße 12, 10115",
        ),
        ("12 rue de la Paix, 75002 Paris", "12 rue de la Paix, 75002"),
        ("Calle Mayor 5", "Calle Mayor 5"),
        ("ul. Długa 5", "ul. Długa 5"),
        ("Kossuth utca 3", "Kossuth utca 3"),
        ("Lozerlaan 172", "Lozerlaan 172"),
        ("P.O. Box 149", "P.O. Box 149"),
    ] {
        check("street_address", text, part);
    }
    for text in [
        "a 3 lane road",
        "the 100 mile swim will take place today",
        "let's meet at 7 PM at the place",
        "we took 2 steps on the way",
        "in 5 minutes I drive home",
        "step 3: close the file",
        "court date 10:00 AM in the Superior Court",
    ] {
        check_none("street_address", text);
    }
}

#[test]
fn postal_codes() {
    for (text, code) in [
        ("Springfield, IL 62704", "62704"),
        ("ZIP: 90210-1234", "90210-1234"),
        ("London SW1A 1AA", "SW1A 1AA"),
        ("Ottawa K1A 0B1", "K1A 0B1"),
        ("PLZ 10115", "10115"),
        ("postcode: 7412 SL", "7412 SL"),
    ] {
        check("postal_code", text, code);
    }
    check_none("postal_code", "we need 62704 lines of code in 2024");
}

#[test]
fn web_addresses_that_tell_whose_they_are() {
    for (text, url) in [
        (
            "My website is https://www.example.org/a?b=1.",
            "https://www.example.org/a?b=1",
        ),
        ("see http://example.org/", "http://example.org/"),
        (
            "https://www.linkedin.com/in/jane-doe)",
            "https://www.linkedin.com/in/jane-doe",
        ),
        ("(www.example.org)", "www.example.org"),
    ] {
        check("url", text, url);
    }
    for text in [
        "docs at https://docs.rs/serde/latest/serde/index.html",
        "http://localhost:8080/",
        "https://github.com/owner/repository/issues/12",
    ] {
        check_none("url", text);
    }
}

#[test]
fn addresses_over_several_lines() {
    for (text, address) in [
        (
            "Jane Roe\n\n95 55 Halsey Road\n Suite 881\n HAYBOROUGH\n\n Paraguay 81365",
            "95 55 Halsey Road\n Suite 881\n HAYBOROUGH\n\n Paraguay 81365",
        ),
        (
            ">Acme\n>31 Vesturgata 66\n>Suite 574\n>Reykjavík\n>Tuvalu 12345\n",
            "31 Vesturgata 66\n>Suite 574\n>Reykjavík\n>Tuvalu 12345",
        ),
        (
            "jane roe\n\n16 salontie 6\n apt. 523\n urjala\n maldives 30038",
            "16 salontie 6\n apt. 523\n urjala\n maldives 30038",
        ),
        (
            "send it to 66 Dalmatinova 112 Apt. 846, Drijette, Qatar 52904",
            "66 Dalmatinova 112 Apt. 846, Drijette, Qatar 52904",
        ),
        (
            "change my address to 92 Eusebio Dávila 57\nPYRGA\n, LA\n 56139 please",
            "92 Eusebio Dávila 57\nPYRGA\n, LA\n 56139",
        ),
        (
            "a taxi to 07 Celso Emilio Ferreiro 23, Selwyn Heights",
            "07 Celso Emilio Ferreiro 23, Selwyn Heights",
        ),
        (
            "What is your address? it is PSC 4457, Box 7534\nAPO AP 95145",
            "PSC 4457, Box 7534\nAPO AP 95145",
        ),
        (
            "It arrived at USNS Frias\nFPO AA 88037 last night",
            "USNS Frias\nFPO AA 88037",
        ),
    ] {
        check("street_address", text, address);
    }
}

#[test]
fn what_stands_around_an_address_is_no_part_of_it() {
    for (text, address) in [
        ("Suite 12 is free. Call 555-0100.", "Suite 12"),
        (
            "We live at 12 Main Street. Thank you for asking",
            "12 Main Street",
        ),
        (
            "12 Main Street\nPhone: 555 0100\nName: Jane",
            "12 Main Street",
        ),
        ("Mrs. Karen Smith Suite 680 at the hospital", "Suite 680"),
    ] {
        check("street_address", text, address);
    }
    for text in [
        "I was there on 12 March 25, and again later",
        "It went from 10 Percent to 20 Percent.",
        "We scored 3 Goals In 2, they said",
        "the years from 2 World 1945, as",
    ] {
        check_none("street_address", text);
    }
}
