//! `poppet demo`: real mail, served within a second of being asked for it.
//!
//! Owns: the folder that it lives in, its one user, its certificate, what it tells its user to type.
//! Does not know: how mail is served; it runs the same server as `serve`.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{hash, serve};
use crate::{
    auth::{Authenticator, UsersError},
    config::Config,
    net::tls::{self, CertificateFiles, TlsError},
    secret::Secret,
    server::{self, Certificates, Kind, Listener, ServeError},
};

mod certificate;
mod mail;

/// Where the demo listens.
const POP3: &str = "127.0.0.1:1110";
const POP3S: &str = "127.0.0.1:1995";
/// Its one user.
const USER: &str = "demo";

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its files can't be made.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its ports can't be had.
    #[error("cannot listen at {0}: {1}; is another demo running? (ss -ltnp shows which program has the port)")]
    Listen(SocketAddr, io::Error),
    /// Its certificate can't be made.
    #[error("cannot make a certificate: the system gives no random octets")]
    Certificate,
    /// Its certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system has no randomness.
    #[error("cannot make a password: {0}")]
    Random(getrandom::Error),
    /// The password can't be hashed.
    #[error(transparent)]
    Hash(#[from] hash::HashError),
    /// Its users file can't be used.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The server can't run.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves sample mail until Ctrl-C.
///
/// # Errors
/// [`DemoError`]. Its folder is removed then, too.
pub fn run() -> Result<(), DemoError> {
    let listeners = listen()?;
    let folder = Folder::new()?;
    let password = random_text(12)?;
    let messages = deliver(&folder)?;
    let config = configuration(&folder, &password)?;
    let authenticator = Authenticator::open(&config.users.file)?;
    let pairs = config.tls.as_ref().map(|tls| tls.pairs.clone()).unwrap_or_default();
    let certificates = Certificates { live: Some(tls::load(&pairs)?), pairs, source: None };
    let settings = serve::settings(&config, certificates, authenticator, listeners);
    tell(messages, &password, &folder.certificate());
    server::serve(settings)?;
    drop(folder);
    println!("\nThe demo is over; its folder is gone.");
    Ok(())
}

fn listen() -> Result<Vec<Listener>, DemoError> {
    let mut listeners = vec![];
    for (address, kind) in [(POP3, Kind::Pop3), (POP3S, Kind::Pop3s)] {
        let address: SocketAddr = address.parse().expect("a constant");
        listeners.extend(server::bind(&[address], kind).map_err(|(address, error)| DemoError::Listen(address, error))?);
    }
    Ok(listeners)
}

/// Lays out the Maildir with the `maildir` crate, as a delivery agent would.
fn deliver(folder: &Folder) -> Result<usize, DemoError> {
    let maildir = maildir::Maildir::from(folder.maildir());
    let failed = |source| DemoError::File { action: "write mail to", path: folder.maildir(), source };
    maildir.create_dirs().map_err(failed)?;
    let messages = mail::messages(SystemTime::now());
    for (_, message) in &messages {
        maildir.store_new(message).map_err(|error| failed(io::Error::other(error)))?;
    }
    Ok(messages.len())
}

/// The configuration that a user would write, but for the folder.
fn configuration(folder: &Folder, password: &str) -> Result<Config, DemoError> {
    let users = folder.0.join("users");
    let options = hash::Options { scheme: hash::Scheme::default(), user: Some(USER.into()) };
    let line = hash::line(&options, &Secret::new(password.as_bytes()))?;
    write(&users, format!("{line}\n").as_bytes())?;
    let (certificate, key) = certificate::make(SystemTime::now()).map_err(|_| DemoError::Certificate)?;
    let pair = CertificateFiles { certificate: folder.certificate(), private_key: folder.0.join("key.pem") };
    write(&pair.certificate, certificate.as_bytes())?;
    write(&pair.private_key, key.as_bytes())?;
    let mut config = Config::default();
    config.users.file = users;
    config.mail.maildir = folder.maildir_template();
    config.tls = Some(crate::config::Tls { pairs: vec![pair] });
    Ok(config)
}

fn write(path: &Path, octets: &[u8]) -> Result<(), DemoError> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(octets)).map_err(|source| DemoError::File {
        action: "write",
        path: path.into(),
        source,
    })
}

fn tell(messages: usize, password: &str, certificate: &Path) {
    let certificate = certificate.display();
    println!(
        "\
{messages} messages wait for the user {USER}, password {password}

  {POP3}   clear text, TLS by STLS
  {POP3S}   TLS from the first octet

List them, read the first, delete the second:
  curl --user {USER}:{password} pop3://{POP3}/
  curl --user {USER}:{password} pop3://{POP3}/1
  curl --user {USER}:{password} --head --request DELE pop3://{POP3}/2

The same over TLS, as mail programs do it:
  curl --user {USER}:{password} --cacert {certificate} pop3s://localhost:1995/
  curl --user {USER}:{password} --cacert {certificate} --ssl-reqd pop3://localhost:1110/1

Speak POP3 yourself (USER {USER}, PASS {password}, LIST, RETR 1, QUIT):
  openssl s_client -quiet -crlf -CAfile {certificate} -connect localhost:1995

In a mail program: POP3, server localhost, port 1995, SSL/TLS, user {USER}, the password above.

Ctrl-C ends it. Here is what happens meanwhile:
"
    );
    // A pipe that nobody reads is no reason not to serve.
    let _ = io::stdout().flush();
}

/// Letters and digits that can't be mistaken for one another.
fn random_text(len: usize) -> Result<String, DemoError> {
    let mut octets = vec![0; len];
    getrandom::fill(&mut octets).map_err(DemoError::Random)?;
    Ok(octets.iter().map(|octet| char::from(LETTERS[usize::from(octet % 32)])).collect())
}

const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// The demo's own folder; it goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, DemoError> {
        let path = std::env::temp_dir().join(format!("poppet-demo-{}", random_text(8)?));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Folder(path)),
            Err(source) => Err(DemoError::File { action: "make the folder", path, source }),
        }
    }

    fn maildir(&self) -> PathBuf {
        self.0.join("mail").join(USER)
    }

    fn maildir_template(&self) -> crate::config::MaildirTemplate {
        let template = format!("{}/mail/{{user}}", self.0.display());
        template.parse().expect("a folder's path and a placeholder")
    }

    fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("poppet: cannot remove {}: {error}", self.0.display());
        }
    }
}
