//! Certificates and keys of all kinds, and handshakes in memory with what was made of them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
};
use tempfile::TempDir;

use super::*;

/// A certificate authority, and a folder for what it signs.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "An Authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { folder: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key), certificate }
    }

    /// A pair of files for `names`; the chain holds the authority as well.
    fn pair(&self, stem: &str, names: &[&str]) -> CertificateFiles {
        let (leaf, key) = self.leaf(names);
        self.write(stem, &(leaf + &self.certificate.pem()), &key)
    }

    fn leaf(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "A Server");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2099, 12, 31);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, stem: &str, certificate: &str, private_key: &str) -> CertificateFiles {
        let pair = CertificateFiles { certificate: self.path(stem, "crt"), private_key: self.path(stem, "key") };
        std::fs::write(&pair.certificate, certificate).unwrap();
        std::fs::write(&pair.private_key, private_key).unwrap();
        pair
    }

    fn path(&self, stem: &str, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{stem}.{ending}"))
    }

    fn client(&self, version: &'static SupportedProtocolVersion, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(4);
        config
    }
}

fn told(pair: &CertificateFiles) -> String {
    load(std::slice::from_ref(pair)).expect_err("a broken pair").to_string()
}

fn facts(pair: &CertificateFiles) -> Facts {
    load(std::slice::from_ref(pair)).unwrap().facts.remove(0)
}

/// Both ends after a handshake over memory.
fn shake_hands(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    for _ in 0..8 {
        let mut octets = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut octets).unwrap();
        }
        server.read_tls(&mut octets.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut octets = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut octets).unwrap();
        }
        client.read_tls(&mut octets.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn leaf_of(client: &ClientConnection) -> CertificateDer<'static> {
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

#[test]
fn a_client_is_given_the_pair_of_the_name_it_asks_for() {
    let authority = Authority::new();
    let pairs =
        [authority.pair("first", &["mail.example.org", "127.0.0.1"]), authority.pair("wild", &["*.example.net"])];
    let loaded = load(&pairs).unwrap();
    let client = Arc::new(authority.client(&rustls::version::TLS13, &[]));
    let given = |name| leaf_of(&shake_hands(&client, &loaded.config, name).unwrap().0);
    assert_ne!(given("mail.example.org"), given("pop.example.net"));
    assert_eq!(given("mail.example.org"), given("127.0.0.1"), "an address is no name: the first");
    assert!(shake_hands(&client, &loaded.config, "a.b.example.net").is_err(), "one label only");
}

#[test]
fn both_versions_of_tls_are_spoken_and_resumed_without_memory() {
    let authority = Authority::new();
    let server = load(&[authority.pair("first", &["mail.example.org"])]).unwrap().config;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Arc::new(authority.client(version, &["pop3"]));
        let (first, _) = shake_hands(&client, &server, "mail.example.org").unwrap();
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(first.protocol_version(), Some(version.version));
        assert_eq!(first.alpn_protocol(), Some(&b"pop3"[..]));
        if version.version == ProtocolVersion::TLSv1_3 {
            assert_eq!(first.tls13_tickets_received(), 1);
        }
        let (second, _) = shake_hands(&client, &server, "mail.example.org").unwrap();
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
    assert!(!server.session_storage.can_cache());
    assert_eq!((server.max_early_data_size, server.send_half_rtt_data), (0, false));
}

#[test]
fn a_client_that_wants_another_protocol_is_refused() {
    let authority = Authority::new();
    let server = load(&[authority.pair("first", &["mail.example.org"])]).unwrap().config;
    let with = |alpn| {
        let client = Arc::new(authority.client(&rustls::version::TLS13, alpn));
        shake_hands(&client, &server, "mail.example.org").map(|_| ())
    };
    assert_eq!(with(&[]), Ok(()));
    assert_eq!(with(&["imap", "pop3"]), Ok(()));
    assert!(with(&["imap"]).is_err());
}

#[test]
fn facts_are_those_of_the_certificate() {
    let authority = Authority::new();
    let facts = facts(&authority.pair("full", &["Mail.Example.org", "*.example.net", "192.0.2.1", "2001:db8::1"]));
    assert_eq!(facts.names, ["mail.example.org", "*.example.net", "192.0.2.1", "2001:db8::1"]);
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds(facts.not_before), 1_577_836_800);
    assert_eq!(seconds(facts.not_after), 4_102_358_400);
    assert_eq!((facts.chain_length, facts.key), (2, KeyKind::EcdsaP256));
    assert!(facts.chain_complete && !facts.self_signed);
    assert_eq!(
        (facts.expiry(SystemTime::now()), facts.warnings(SystemTime::now()), facts.hints()),
        (None, vec![], vec![])
    );
}

#[test]
fn the_time_left_is_counted_in_whole_days() {
    let authority = Authority::new();
    let facts = facts(&authority.pair("full", &["mail.example.org"]));
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(facts.days_left(facts.not_after - 14 * day), Some(14));
    assert_eq!(facts.expiry(facts.not_after - 14 * day), None);
    let second = Duration::from_secs(1);
    let told = |before| facts.expiry(facts.not_after - before).unwrap();
    assert!(told(14 * day - second).starts_with("expires in 13 days;"));
    assert!(told(day).starts_with("expires in 1 day;"));
    assert!(told(second).starts_with("expires in 0 days;"));
    assert_eq!(facts.days_left(facts.not_after + second), None);
    assert!(facts.expiry(facts.not_after + second).unwrap().starts_with("has expired"));
    assert!(facts.warnings(facts.not_before - day)[0].starts_with("is not valid yet"));
}

#[test]
fn an_incomplete_chain_is_told_and_loaded_all_the_same() {
    let authority = Authority::new();
    let (leaf, key) = authority.leaf(&["mail.example.org"]);
    let alone = facts(&authority.write("alone", &leaf, &key));
    assert!(!alone.chain_complete);
    assert!(alone.warnings(SystemTime::now())[0].contains("full chain"));
    let stranger = Authority::new().leaf(&["mail.example.org"]).0;
    let mixed = facts(&authority.write("mixed", &(leaf + &stranger), &key));
    assert!(!mixed.chain_complete);
    assert!(mixed.warnings(SystemTime::now())[0].contains("order server"));
}

#[test]
fn a_self_signed_certificate_is_its_own_chain() {
    let authority = Authority::new();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let facts = facts(&authority.write("own", &own.cert.pem(), &own.signing_key.serialize_pem()));
    assert!(facts.self_signed && facts.chain_complete);
}

#[test]
fn a_certificate_without_names_is_told() {
    let authority = Authority::new();
    assert!(facts(&authority.pair("none", &[])).warnings(SystemTime::now())[0].starts_with("names no host"));
}

#[test]
fn one_file_may_hold_both() {
    let authority = Authority::new();
    let (leaf, key) = authority.leaf(&["mail.example.org"]);
    let pair = authority.write("both", &(key.clone() + &leaf + &authority.certificate.pem()), &(leaf + &key));
    assert_eq!(facts(&pair).chain_length, 2);
}

#[test]
fn a_broken_pair_is_told_in_a_sentence_with_its_path() {
    let authority = Authority::new();
    let (leaf, key) = authority.leaf(&["mail.example.org"]);
    let other = authority.leaf(&["mail.example.org"]).1;
    let bad_der = "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n";
    let bad_key = "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n";
    let cases = [
        ("empty", " \n", key.as_str(), "empty.crt is empty; write the certificate into it"),
        ("no-key", &leaf, "\n", "no-key.key is empty; write the private key into it"),
        ("swap", &key, &leaf, "swap.crt holds a private key and no certificate: certificate and private-key seem"),
        ("twice", &leaf, &leaf, "twice.key holds a certificate and no private key"),
        ("binary", "\u{0}0\u{1}", &key, "binary.crt holds no certificate in PEM form"),
        ("words", &leaf, "secret\n", "words.key holds no private key in PEM form"),
        ("torn", &leaf[..200], &key, "torn.crt is damaged PEM: a section has no end"),
        ("der", bad_der, &key, "certificate number 1 in "),
        ("der-key", &leaf, bad_key, "der-key.key can't be used: "),
        ("other", &leaf, &other, "other.key does not belong to the certificate in "),
    ];
    for (stem, certificate, private_key, part) in cases {
        let told = told(&authority.write(stem, certificate, private_key));
        assert!(told.contains(part), "{stem}: {told}");
        assert!(told.contains(authority.folder.path().to_str().unwrap()), "{told}");
        assert!(told.contains(';') || told.contains("swapped"), "there is a mend: {told}");
    }
    assert!(told(&authority.write("second", &(leaf.clone() + bad_der), &key)).contains("certificate number 2 in "));
    assert!(matches!(load(&[]), Err(TlsError::NoPair)));
}

#[test]
fn a_missing_file_is_told_with_its_path() {
    let authority = Authority::new();
    let pair = authority.pair("gone", &["mail.example.org"]);
    std::fs::remove_file(&pair.private_key).unwrap();
    let told = told(&pair);
    assert!(told.starts_with(&format!("cannot read {}: ", pair.private_key.display())), "{told}");
    assert!(told.ends_with("put the file there, or write its path below [tls]"), "{told}");
}

#[test]
fn every_form_of_key_that_openssl_writes_is_read() {
    let authority = Authority::new();
    let folder = authority.folder.path();
    let subject = "req -x509 -days 9000 -nodes -subj /CN=mail.example.org -addext subjectAltName=DNS:mail.example.org";
    let steps = [
        format!("{subject} -newkey rsa:2048 -keyout rsa.key -out rsa.crt"),
        format!("{subject} -newkey ec -pkeyopt ec_paramgen_curve:P-384 -keyout ec.key -out ec.crt"),
        format!("{subject} -newkey ed25519 -keyout ed.key -out ed.crt"),
        "rsa -in rsa.key -traditional -out rsa-pkcs1.key".to_owned(),
        "ec -in ec.key -out ec-sec1.key".to_owned(),
        "pkcs8 -topk8 -in ec.key -passout pass:x -out ec-locked.key".to_owned(),
        "rsa -in rsa.key -traditional -aes128 -passout pass:x -out rsa-locked.key".to_owned(),
    ];
    if !steps.iter().all(|step| openssl(folder, step)) {
        return;
    }
    let pair = |certificate: &str, private_key: &str| CertificateFiles {
        certificate: folder.join(certificate),
        private_key: folder.join(private_key),
    };
    for (certificate, private_key, kind, begins) in [
        ("rsa.crt", "rsa.key", KeyKind::Rsa, "-----BEGIN PRIVATE KEY"),
        ("rsa.crt", "rsa-pkcs1.key", KeyKind::Rsa, "-----BEGIN RSA PRIVATE KEY"),
        ("ec.crt", "ec.key", KeyKind::EcdsaP384, "-----BEGIN PRIVATE KEY"),
        ("ec.crt", "ec-sec1.key", KeyKind::EcdsaP384, "-----BEGIN EC PRIVATE KEY"),
        ("ed.crt", "ed.key", KeyKind::Ed25519, "-----BEGIN PRIVATE KEY"),
    ] {
        let pair = pair(certificate, private_key);
        assert!(std::fs::read_to_string(&pair.private_key).unwrap().contains(begins), "{private_key}");
        let facts = facts(&pair);
        assert_eq!((facts.key, facts.hints().len()), (kind, usize::from(kind != KeyKind::EcdsaP384)));
    }
    for (certificate, private_key) in [("ec.crt", "ec-locked.key"), ("rsa.crt", "rsa-locked.key")] {
        let told = told(&pair(certificate, private_key));
        assert!(told.contains("is encrypted") && told.contains("openssl pkey -in"), "{told}");
    }
    assert!(told(&pair("ec-locked.key", "ec.key")).contains("swapped"));
}

/// Whether it was done; without the program the test is skipped aloud, unless all are asked for.
fn openssl(folder: &Path, arguments: &str) -> bool {
    match Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output() {
        Ok(output) => {
            assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            assert!(std::env::var_os("POPPET_TEST_ALL").is_none(), "openssl: {error}");
            println!("skipped: needs openssl");
            false
        }
    }
}

#[test]
fn a_certificate_that_is_torn_or_damaged_is_an_error_or_read_and_never_a_panic() {
    let authority = Authority::new();
    let pair = authority.pair("torn", &["mail.example.org", "127.0.0.1", "::1"]);
    let certificate = CertificateDer::from_pem_file(&pair.certificate).unwrap();
    let whole = Facts::read(std::slice::from_ref(&certificate)).unwrap();
    assert_eq!(whole.names, ["mail.example.org", "127.0.0.1", "::1"]);
    for end in 0..certificate.len() {
        let torn = CertificateDer::from(&certificate[..end]);
        assert!(Facts::read(&[torn]).is_err(), "{end} octets of {}", certificate.len());
    }
    let mut differs = 0;
    for at in 0..certificate.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = certificate.to_vec();
            damaged[at] = value;
            differs += u32::from(Facts::read(&[damaged.into()]).as_ref() != Ok(&whole));
        }
    }
    assert!(differs > 100, "what stands there makes a difference");
}

#[test]
fn a_name_that_would_speak_to_a_terminal_is_refused() {
    let authority = Authority::new();
    assert!(told(&authority.pair("loud", &["mail\u{1b}[2J.example.org"])).contains("can't be understood"));
}
