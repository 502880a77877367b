//! Hashes that other programs made are the data here: python's crypt, `openssl passwd`, `mkpasswd`, `argon2`
//! and `doveadm pw`, each for the same two passwords.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

thread_local! {
    /// The schemes of the checks that this thread made, in order.
    pub(crate) static CHECKED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

const ASCII: &[u8] = b"swordfish";
const ACCENTS: &str = "gr\u{fc}n-\u{20ac} \u{df}";

/// Scheme, the hash of `ASCII`, the hash of `ACCENTS`.
const FOREIGN: &[(&str, &str, &str)] = &[
    (
        "SHA512-CRYPT",
        "$6$saltsalt12345678$/qXD/McQXIotvkMTO1UD5TiiYph1YIYKms5s/U7DOSZ83l0itM10bXLaJ25jCu1r5XC0HkcXQQNr4/XCM0.KK.",
        "$6$saltsalt12345678$uM3DoC7vdwIGbTZDxK0s5pLw66lMLS/Nlt9Sr/Z6Ayoj.ElcEj/cC4VWc8lL/ovss7sKqXDWH3FhcdmqsVyMG/",
    ),
    (
        "SHA512-CRYPT",
        "$6$rounds=20000$abcDEF./$6S9mlPJiiw8HkApUM9HlzUHf9RNY/HPaMQ/f/rVLQulJPcuvIXFx4siYeUiOoiswZdvoXF3Q9txYWxJpVjJ54/",
        "$6$rounds=20000$abcDEF./$4YijpjY//Af6NGP2cFoDxxhYBN5GZLr4vG5IpXBl72GPlERswoEC4mXEezlozyBrCrc.0hliEFdPuCqWVlpRi.",
    ),
    (
        "SHA512-CRYPT",
        "$6$Q8ssl$z/39YMxWIpmH7IP2E6mYC.FC0iVX27L3rWlCi7yyUaRhyW7NC9b8A5elGVDoiCHuFfAA94C4.Tw8511/FbG.x.",
        "$6$Q8ssl$kJvx7UGYob6LOmJRoyDSOWTvObwV60h.UZF52XR40RRHKmEmhxon14acbuuytHBEa24tMH3JaYv3.md0CKjJF.",
    ),
    (
        "SHA256-CRYPT",
        "$5$saltsalt12345678$.B170uSp68nDrsKGnypnvRruvZnj/Wn0eVfQ0jvuII9",
        "$5$saltsalt12345678$dTtX/r9GjlPZkl1RFrdfrMp79UyMyxYwJyJ9x7A.gnB",
    ),
    (
        "SHA256-CRYPT",
        "{sha256-crypt}$5$rounds=1000$xy$EApJ3LEFiTtKIKHer62DJn2ARkqUFK6y1sLkg0EoEg4",
        "{sha256-crypt}$5$rounds=1000$xy$un34ssOMDpSmO53HPmyyTIi8uOtduwR8CBhJ5Gg1ha.",
    ),
    (
        "BLF-CRYPT",
        "$2b$05$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy",
        "$2b$05$abcdefghijklmnopqrstuu0ozVuymp75VApag/dTtE.n2J1Xv4iPO",
    ),
    (
        "BLF-CRYPT",
        "$2y$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.",
        "$2y$04$abcdefghijklmnopqrstuuXC3afk6ZZwpw8yxGH993COd8QdEyt5C",
    ),
    (
        "BLF-CRYPT",
        "{Crypt}$2a$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.",
        "{Crypt}$2a$04$abcdefghijklmnopqrstuuXC3afk6ZZwpw8yxGH993COd8QdEyt5C",
    ),
    (
        "BLF-CRYPT",
        "{BLF-CRYPT}$2y$05$cLJO5YdupBgZkC1k38U6TOn74z.INOqZteKVmd0qQw7AnEO7rwKwK",
        "{BLF-CRYPT}$2y$05$jtjfTldma62N5B1f8YKEe.Hym6budTGxkwLeoBttfD47HVxC3Grb2",
    ),
    (
        "yescrypt",
        "$y$j75$BIIVzFgVLNzs5RgeMoCle1$UXgwYBBKdPMKDWVsUnU.aFtviFHRIQbAfNSEmbhSw8D",
        "{CRYPT}$y$j75$C7vnEyIy.YrZTTWmz/e7F0$UeLNeQc.yWAzRFFW4EmVhGJ8Wwp9SzUslLxOL960.wD",
    ),
    (
        "yescrypt",
        "$y$j9T$yIdfJR4j5ueR9xTmxIbic/$4kH1rhGn9HU7pBNZM.dMnRHNN6OkXFIiRYj/zgvddE/",
        "$y$j9T$5L0dWjJ0407vIl1dxyyKp1$LNdFLRClzij0mBwuSP3YPLUCgXRTlman93sLA9tDHY1",
    ),
    (
        "ARGON2ID",
        "$argon2id$v=19$m=1024,t=3,p=2$c29tZXNhbHQxMjM0$QQr4XoYIPbib3Qe8cNFRmqmV27DB9i6VRCGXnxTBE6s",
        "{ARGON2ID}$argon2id$v=19$m=1024,t=3,p=2$c29tZXNhbHQxMjM0$DPrkSFbcVEfznxLLefwFwca8tVfbv90uh2R07ZjOXn0",
    ),
    (
        "ARGON2I",
        "$argon2i$v=19$m=4096,t=3,p=1$c29tZXNhbHQxMjM0$KymKtFLilzGKMdAQfokALbQi/19es1h5jq3RDKWTosg",
        "{argon2i}$argon2i$v=19$m=4096,t=3,p=1$c29tZXNhbHQxMjM0$QGefwp/J+E/xQ7F9IWOKPZLagcXaq88hZrptJ2lMp+E",
    ),
    (
        "ARGON2I",
        "$argon2i$v=16$m=1024,t=3,p=1$c29tZXNhbHQxMjM0$9u8k9IzE3mF9CxC7VeZWqJgR1y4MpOLxoiYbJp21AkE",
        "$argon2i$v=16$m=1024,t=3,p=1$c29tZXNhbHQxMjM0$0GC8Ve+UfoK9U5r7tAGBxv1LIp2sK/i/Fs/zVfQXq/0",
    ),
    ("PLAIN", "{PLAIN}swordfish", "{plain}gr\u{fc}n-\u{20ac} \u{df}"),
    ("PLAIN", "{PLAIN.B64}c3dvcmRmaXNo", "{PLAIN.b64}Z3LDvG4t4oKsIMOf"),
    ("PLAIN", "{Clear.hex}73776f726466697368", "{CLEARTEXT.HEX}6772C3BC6e2de282ac20c39f"),
    (
        "SHA512-CRYPT",
        "{SHA512-CRYPT.HEX}24362443336b467162357665383336582f337924484f316a67376c4a656c50546b3972576f635a5864395369437a5a6f2e63757579524c6974644e664a62326468306e475833376c626c696d474d584c666c75555978664e4a456a3567434c78755131365a47784f562f",
        "{SHA512-CRYPT.HEX}2436246f384d6d6b57375461554f6b722e6c412469714c4a5a464e6e6e71624537764e572f4b4d63584663616234694d42494b2f5738656e70724c375363654c6b6b7178786b7a554c6c44533463347035794e70502e53537350736451754f68374a4c664f546565672f",
    ),
];

#[test]
fn hashes_of_other_programs_match_their_password_and_no_other() {
    for &(scheme, ascii, accents) in FOREIGN {
        let (one, two) = (Hash::parse(ascii.as_bytes()).unwrap(), Hash::parse(accents.as_bytes()).unwrap());
        assert_eq!((one.scheme(), two.scheme()), (scheme, scheme));
        assert!(one.verify(ASCII), "{ascii}");
        assert!(two.verify(ACCENTS.as_bytes()), "{accents}");
        for wrong in [&b""[..], b"swordfisH", b"swordfish ", b"swordfish\0"] {
            assert!(!one.verify(wrong), "{ascii} {wrong:?}");
        }
        assert!(!two.verify(ASCII), "{accents}");
    }
}

#[test]
fn bcrypt_looks_at_72_octets_as_crypt_does() {
    let hash = Hash::parse(b"$2b$04$abcdefghijklmnopqrstuum2G75IXDN/xsgbNa/hCiPSKyIHQd70S").unwrap();
    let long = b"0123456789".repeat(8);
    assert!(hash.verify(&long));
    assert!(hash.verify(&long[..72]));
    assert!(!hash.verify(&long[..71]));
}

#[test]
fn sha_crypt_takes_the_longest_password_that_crypt_does() {
    let hash = "$6$longpass$NHLnBn0Bifb3F/YlVQvz5usSt70FzBSB.QcRniQ.fbeHUVNiF5HSKMOrXJ1MNpGtEG6bc.1D3twsJYeL3WRhY0";
    assert!(Hash::parse(hash.as_bytes()).unwrap().verify(&[b'x'; 511]));
}

#[test]
fn a_password_with_nul_matches_no_string_of_crypt() {
    // Here all that bcrypt reads of it is right.
    let hash = Hash::parse(b"$2y$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.").unwrap();
    assert!(
        bcrypt::verify(
            b"swordfish\0swordfish\0swordfish",
            "$2y$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu."
        )
        .unwrap()
    );
    assert!(!hash.verify(b"swordfish\0swordfish\0swordfish"));
}

#[test]
fn an_empty_field_lets_nobody_in() {
    for field in ["", "{PLAIN}", "{PLAIN.b64}", "{CRYPT}", "{SSHA.hex}"] {
        let error = Hash::parse(field.as_bytes()).unwrap_err();
        assert_eq!(error, BadHash::Empty, "{field}");
        assert!(error.to_string().contains("poppet hash"));
    }
}

#[test]
fn schemes_that_are_not_checked_are_refused_by_name() {
    for (field, name) in [
        ("{SSHA}JRetDKr4STuzbIW05UXs0r5BDzblyenC", "{SSHA}"),
        ("{ssha256}4Ezmuww8lR7PftWLrADHS4pTHWfQQFEGAewV/x6ksK25BdeV", "{SSHA256}"),
        ("{MD5-CRYPT}$1$vZzEuvg9$jA1BObhS2jqCL9sNKBFCt1", "{MD5-CRYPT}"),
        ("{PBKDF2}$1$CEY4H1KasjWZg6v2$5000$4c6fa53083d2f4cf2996484c6866afb0d0df7de6", "{PBKDF2}"),
        ("{SCRAM-SHA-256}4096,Yzc/nrWSR2Y8MySLoxLFVQ==,Gh7EF2p0TXnd5TAV=,LZAyj6a=", "{SCRAM-SHA-256}"),
        ("{SHA512-CRYTP}$6$a$b", "{SHA512-CRYTP}"),
        ("$1$vZzEuvg9$jA1BObhS2jqCL9sNKBFCt1", "$1$"),
        ("$2x$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.", "$2x$"),
        ("$argon2d$v=19$m=1024,t=3,p=2$c29tZXNhbHQxMjM0$QQr4XoYIPbib3Qe8cNFRmqmV27DB9i6VRCGXnxTBE6s", "$argon2d$"),
        ("{CRYPT}$gy$j75$3c3L9oQ4AEPkuB5QwDyQE0$5CEmpzSClcSKd.6N7Ua.YoQn46hTPPrJByOfT.Fmut.", "$gy$"),
        ("$7$BU..../....cvwIlRYsMIAHMcYSZe1mA0$nHDheYvuW6pQthcRF/Ed/j5ideQ27GdYtgOtJvfVOh/", "$7$"),
    ] {
        let error = Hash::parse(field.as_bytes()).unwrap_err();
        assert_eq!(error, BadHash::Unsupported(name.into()));
        assert!(error.to_string().contains(name) && error.to_string().contains("`poppet hash` makes a new line"));
    }
}

#[test]
fn a_password_as_it_stands_is_refused_and_not_repeated() {
    for field in ["swordfish", "*", "!", "ab01FAX.bQRSU", "$", "$$", "{sword fish}x", "{swordfish", "$swordfish$x"] {
        let error = Hash::parse(field.as_bytes()).unwrap_err();
        assert_eq!(error, BadHash::Unknown, "{field}");
        assert!(!error.to_string().contains("swordfish") && !error.to_string().contains("sword fish"), "{error}");
    }
    assert_eq!(Hash::parse(b"gr\xfcn").unwrap_err(), BadHash::Unknown);
}

#[test]
fn malformed_hashes_are_refused_when_they_are_read() {
    let sha512 = FOREIGN[0].1;
    let sha256 = FOREIGN[3].1;
    let yescrypt = FOREIGN[9].1;
    let cases: &[(String, &str)] = &[
        (sha512[..sha512.len() - 1].into(), "cut off"),
        (format!("{sha512}."), "cut off"),
        (format!("{sha512}$"), "rounds="),
        (sha512.replace('/', "_"), "mistyped"),
        (sha512.replace("12345678", "123456789"), "1 to 16"),
        (sha512.replace("saltsalt12345678", ""), "1 to 16"),
        (sha512.replace("saltsalt", "salt_alt"), "1 to 16"),
        (sha512.replace("$salt", "$rounds=999$salt"), "1000 rounds"),
        (sha512.replace("$salt", "$rounds=05000$salt"), "1000 rounds"),
        (sha512.replace("$salt", "$rounds=+5000$salt"), "no number"),
        (sha512.replace("$salt", "$rounds=$salt"), "no number"),
        ("$6$".into(), "too few"),
        (sha256.replace("$5$", "$6$"), "cut off"),
        (sha512.replace("$6$", "$5$"), "cut off"),
        (format!("{{SHA256-CRYPT}}{sha512}"), "another scheme"),
        ("{SHA512-CRYPT}swordfish".into(), "does not begin"),
        ("{SHA512-CRYPT.ROT13}x".into(), "decoded"),
        ("{PLAIN.hex}7".into(), "decoded"),
        ("{PLAIN.hex}7g".into(), "decoded"),
        ("{PLAIN.b64}c3dvcmRmaX".into(), "decoded"),
        ("$2b$05$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YY".into(), "cut off"),
        ("$2b$+5$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy".into(), "mistyped"),
        ("$2b$03$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy".into(), "mistyped"),
        ("$2b$\u{e9}$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy".into(), "mistyped"),
        ("$argon2id$v=19$m=1024,t=3,p=2$c29tZXNhbHQxMjM0".into(), "missing"),
        ("$argon2id$m=1024,t=3,p=2$c29tZXNhbHQxMjM0$QQr4XoYIPbib3Qe8cNFRmqmV27DB9i6VRCGXnxTBE6s".into(), "v=19"),
        ("$argon2id$v=19$m=8,t=3,p=2$c29tZXNhbHQxMjM0$QQr4XoYIPbib3Qe8cNFRmqmV27DB9i6VRCGXnxTBE6s".into(), "fit"),
        ("$argon2id$v=19$m=1024,t=3,p=2$c29tZXNhbHQxMjM0$*".into(), "cut off"),
        // An empty hash would be equal to whatever comes out at no length.
        (yescrypt.rsplit_once('$').unwrap().0.to_owned() + "$", "cut off"),
        (yescrypt[..yescrypt.len() - 1].into(), "cut off"),
        (format!("{yescrypt}$x"), "too few or too many"),
        (yescrypt.replace("$j75$", "$?$"), "mistyped"),
        (yescrypt.replace("$j75$", "$j75.0$"), "none that crypt(3) writes"),
        (yescrypt.replace("$j75$", "$j75/0$"), "none that crypt(3) writes"),
        (yescrypt.replace("$j75$", "$.75$"), "none that crypt(3) writes"),
        (yescrypt.replace("$BII", "$?II"), "salt"),
    ];
    for (field, why) in cases {
        match Hash::parse(field.as_bytes()) {
            Err(error @ BadHash::Malformed { .. }) => assert!(error.to_string().contains(why), "{field}: {error}"),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn a_hash_at_the_cap_is_taken_and_one_above_it_names_cost_and_cap() {
    let argon2 = |m: u32, t: u32, p: u32| {
        format!("$argon2id$v=19$m={m},t={t},p={p}$c29tZXNhbHQxMjM0$QQr4XoYIPbib3Qe8cNFRmqmV27DB9i6VRCGXnxTBE6s")
    };
    let sha = |rounds: u64| FOREIGN[0].1.replace("$salt", &format!("$rounds={rounds}$salt"));
    let bcrypt = |cost: u32| format!("$2b${cost}$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy");
    // What `mkpasswd -R 8` and `-R 9` write.
    let yescrypt = |cost: &str| FOREIGN[9].1.replace("$j75$", &format!("${cost}$"));
    for (good, bad, value, most) in [
        (argon2(131_072, 8, 16), argon2(131_073, 1, 1), "131073", "131072"),
        (argon2(65_536, 16, 4), argon2(65_536, 17, 4), "1114112", "1048576"),
        (argon2(1024, 1, 16), argon2(1024, 1, 17), "17", "16"),
        (argon2(1024, 1024, 1), argon2(1024, u32::MAX, 1), "4398046510080", "1048576"),
        (sha(1_000_000), sha(1_000_001), "1000001", "1000000"),
        (sha(1_000_000), sha(u64::MAX), "18446744073709551615", "1000000"),
        (bcrypt(14), bcrypt(15), "15", "14"),
        (yescrypt("jCT"), yescrypt("jDT"), "268435456", "134217728"),
        (yescrypt("jCT"), yescrypt("jzzzzzT"), "", ""),
    ] {
        assert!(Hash::parse(good.as_bytes()).is_ok(), "{good}");
        let error = Hash::parse(bad.as_bytes()).unwrap_err();
        if !value.is_empty() {
            assert!(matches!(error, BadHash::TooCostly { .. }), "{bad}: {error}");
        }
        let error = error.to_string();
        assert!(error.contains(value) && error.contains(most) && error.contains("poppet hash"), "{bad}: {error}");
    }
}

#[test]
fn debug_shows_the_scheme_and_nothing_else() {
    assert_eq!(format!("{:?}", Hash::parse(b"{PLAIN}swordfish").unwrap()), "Hash(PLAIN, ..)");
    assert_eq!(format!("{:?}", Hash::parse(FOREIGN[0].1.as_bytes()).unwrap()), "Hash(SHA512-CRYPT, ..)");
}

proptest! {
    #[test]
    fn no_field_makes_the_parser_panic(
        field in proptest::collection::vec(any::<u8>(), 0..120),
        near in "(\\{[A-Za-z0-9.-]{0,12}\\})?\\$(6|5|2b|y|argon2id)\\$[-$.,=/a-zA-Z0-9]{0,90}",
    ) {
        let _ = Hash::parse(&field);
        let _ = Hash::parse(near.as_bytes());
    }

    #[test]
    fn a_hash_with_one_octet_changed_never_makes_it_panic(
        which in 0..FOREIGN.len(), at in any::<prop::sample::Index>(), octet in any::<u8>(),
    ) {
        let mut field = FOREIGN[which].1.as_bytes().to_vec();
        let at = at.index(field.len());
        field[at] = octet;
        let _ = Hash::parse(&field);
    }
}
