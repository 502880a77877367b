//! Certificates while the server runs: new ones take the place of old ones, and the end of each is told in time.
//!
//! Owns: the thread that waits for new pairs, which of them are good enough to go live, what the log says of them.
//! Does not know: where they come from (a [`Source`] does), connections. The loop gets settings that are ready.

use std::{
    fmt, io,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustls::ServerConfig;

use crate::net::tls::{self, CertificateFiles, Facts, Loaded, PairOctets, TlsError, Watch};

/// Where new pairs come from. It has a thread for itself, and may wait.
pub trait Source: Send {
    /// Waits, but not for much longer than `patience`.
    fn next(&mut self, patience: Duration) -> Arrival;

    /// What came with the last [`Source::next`] is in force now, or is not and never will be.
    fn answer(&mut self, in_force: bool);
}

/// What a [`Source`] has.
#[derive(Debug)]
pub enum Arrival {
    /// Nothing new.
    Nothing,
    /// New octets for all pairs.
    Pairs(Vec<PairOctets>),
    /// The pairs can't be read any more.
    Unreadable(TlsError),
    /// Nothing will come again: the server is to end.
    End,
}

/// The certificates that a server begins with, and where the next ones come from.
pub struct Certificates {
    /// The files' names, for messages.
    pub pairs: Vec<CertificateFiles>,
    /// Those in force; `None` for a server without TLS.
    pub live: Option<Loaded>,
    /// `None` where they stay as they are.
    pub source: Option<Box<dyn Source>>,
}

/// What the thread tells the loop.
#[derive(Debug)]
pub enum News {
    /// These are in force now.
    Renewed(Loaded),
    /// It has looked, and all stays as it is.
    Same,
    /// The server is to end.
    End,
}

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// How often an end that is near is told.
const REMIND: Duration = Duration::from_secs(24 * 3600);

/// Starts the thread. News go to `report`.
///
/// # Errors
/// No thread can be had.
pub(super) fn start(
    pairs: Vec<CertificateFiles>,
    live: Option<Loaded>,
    mut source: Box<dyn Source>,
    report: impl Fn(News) + Send + 'static,
) -> io::Result<()> {
    let mut facts = live.as_ref().map(|loaded| loaded.facts.clone()).unwrap_or_default();
    let mut config = live.map(|loaded| loaded.config);
    let mut reminded = Instant::now();
    let work = move || loop {
        let arrival = source.next(LOOK);
        let wants_answer = matches!(arrival, Arrival::Pairs(_));
        let news = take(&pairs, arrival, config.as_deref());
        if wants_answer {
            source.answer(matches!(news, News::Renewed(_)));
        }
        if let News::Renewed(loaded) = &news {
            (config, facts, reminded) = (Some(Arc::clone(&loaded.config)), loaded.facts.clone(), Instant::now());
        }
        if reminded.elapsed() >= REMIND {
            reminded = Instant::now();
            remind(&pairs, &facts, SystemTime::now());
        }
        let end = matches!(news, News::End);
        report(news);
        if end {
            return;
        }
    };
    // Building a chain's settings takes more than the workers' small stacks, and less than the default.
    thread::Builder::new().name("certificates".into()).stack_size(512 * 1024).spawn(work).map(drop)
}

fn take(pairs: &[CertificateFiles], arrival: Arrival, before: Option<&ServerConfig>) -> News {
    let now = SystemTime::now();
    let judged = match arrival {
        Arrival::Nothing => return News::Same,
        Arrival::End => return News::End,
        Arrival::Unreadable(error) => Err(NotRenewed::Unusable(error)),
        Arrival::Pairs(octets) => judge(pairs, &octets, before, now),
    };
    match judged {
        Ok(loaded) => {
            log::info!("the certificate files have changed: new connections get the new certificates");
            tell(pairs, &loaded.facts, now);
            News::Renewed(loaded)
        }
        Err(error) => {
            log::error!("the certificate files have changed and can't be used, the certificates before stay: {error}");
            News::Same
        }
    }
}

/// Why new pairs don't go live.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error("{0}")]
    Unusable(#[from] TlsError),
    #[error("{} has expired; renew it", .0.display())]
    Expired(std::path::PathBuf),
}

/// Good is what can be used and has not expired. One bad pair keeps them all out: they were made to go together.
fn judge(
    pairs: &[CertificateFiles],
    octets: &[PairOctets],
    before: Option<&ServerConfig>,
    now: SystemTime,
) -> Result<Loaded, NotRenewed> {
    let loaded = tls::settle(pairs, octets, before)?;
    match pairs.iter().zip(&loaded.facts).find(|(_, facts)| facts.days_left(now).is_none()) {
        Some((pair, _)) => Err(NotRenewed::Expired(pair.certificate.clone())),
        None => Ok(loaded),
    }
}

/// Says what is known of each pair: when it ends, what will trouble somebody.
pub fn tell(pairs: &[CertificateFiles], facts: &[Facts], now: SystemTime) {
    remind(pairs, facts, now);
    for (pair, facts) in pairs.iter().zip(facts) {
        let path = pair.certificate.display();
        if let Some(days) = facts.days_left(now) {
            log::info!("certificate {path}: for {}, expires in {days} days", facts.names.join(", "));
        }
        facts.warnings(now).iter().for_each(|warning| log::warn!("certificate {path} {warning}"));
        facts.hints().iter().for_each(|hint| log::info!("certificate {path} {hint}"));
    }
}

/// Says which of them end within [`tls::WARN_DAYS`].
fn remind(pairs: &[CertificateFiles], facts: &[Facts], now: SystemTime) {
    endings(pairs, facts, now).iter().for_each(|told| log::warn!("{told}"));
}

fn endings(pairs: &[CertificateFiles], facts: &[Facts], now: SystemTime) -> Vec<String> {
    let told = |(pair, facts): (&CertificateFiles, &Facts)| {
        facts.expiry(now).map(|told| format!("certificate {} {told}", pair.certificate.display()))
    };
    pairs.iter().zip(facts).filter_map(told).collect()
}

/// The files themselves, looked at every minute and whenever somebody knocks.
#[derive(Debug)]
pub struct Files {
    watch: Watch,
    knocks: mpsc::Receiver<()>,
}

/// Has the files looked at now.
pub type Knocker = mpsc::Sender<()>;

impl Files {
    /// Files that held `octets` at the start.
    pub fn new(pairs: Vec<CertificateFiles>, octets: Vec<PairOctets>) -> (Files, Knocker) {
        let (knocker, knocks) = mpsc::channel();
        (Files { watch: Watch::new(pairs, octets), knocks }, knocker)
    }
}

impl Source for Files {
    fn next(&mut self, patience: Duration) -> Arrival {
        if self.knocks.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Disconnected) {
            return Arrival::End;
        }
        match self.watch.look() {
            None => Arrival::Nothing,
            Some(Ok(octets)) => Arrival::Pairs(octets),
            Some(Err(error)) => Arrival::Unreadable(error),
        }
    }

    fn answer(&mut self, _: bool) {}
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn files(name: &str) -> CertificateFiles {
        CertificateFiles { certificate: format!("/{name}.pem").into(), private_key: format!("/{name}.key").into() }
    }

    /// A pair that ends with `year`.
    fn pair(year: i32) -> PairOctets {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = Zeroizing::new(params.self_signed(&key).unwrap().pem().into_bytes());
        PairOctets { certificate, private_key: Zeroizing::new(key.serialize_pem().into_bytes()) }
    }

    /// Says what is in the list, and remembers the answers.
    struct Script(Vec<Arrival>, mpsc::Sender<bool>);

    impl Source for Script {
        fn next(&mut self, _: Duration) -> Arrival {
            if self.0.is_empty() { Arrival::End } else { self.0.remove(0) }
        }
        fn answer(&mut self, in_force: bool) {
            self.1.send(in_force).unwrap();
        }
    }

    #[test]
    fn one_bad_pair_keeps_all_out_and_each_set_is_answered() {
        let pairs = vec![files("a"), files("b")];
        let mismatched = PairOctets { private_key: pair(2999).private_key, ..pair(2999) };
        let arrivals = vec![
            Arrival::Nothing,
            Arrival::Pairs(vec![pair(2999), mismatched]),
            Arrival::Pairs(vec![pair(2999), pair(2020)]),
            Arrival::Pairs(vec![pair(2999), pair(2999)]),
        ];
        let (answers, answered) = mpsc::channel();
        let (report, news) = mpsc::channel();
        let live = tls::settle(&pairs, &[pair(2998), pair(2998)], None).unwrap();
        let tickets = Arc::clone(&live.config.ticketer);
        start(pairs, Some(live), Box::new(Script(arrivals, answers)), move |news| report.send(news).unwrap()).unwrap();
        let news: Vec<News> = news.iter().collect();
        assert!(matches!(news[..], [News::Same, News::Same, News::Same, News::Renewed(_), News::End]), "{news:?}");
        assert_eq!(answered.iter().collect::<Vec<_>>(), [false, false, true]);
        let News::Renewed(loaded) = &news[3] else { unreachable!() };
        assert!(Arc::ptr_eq(&loaded.config.ticketer, &tickets), "tickets of before are worth nothing");
    }

    #[test]
    fn files_are_looked_at_when_somebody_knocks_and_when_patience_ends() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let pair = CertificateFiles { certificate: at("c"), private_key: at("k") };
        let write = |text: &str| ["c", "k"].map(|name| std::fs::write(at(name), text).unwrap());
        write("one");
        let pairs = vec![pair];
        let (mut files, knocker) = Files::new(pairs.clone(), tls::read(&pairs).unwrap());
        assert!(matches!(files.next(Duration::ZERO), Arrival::Nothing));
        write("two");
        assert!(matches!(files.next(Duration::ZERO), Arrival::Pairs(pairs) if **pairs[0].certificate == *b"two"));
        assert!(matches!(files.next(Duration::ZERO), Arrival::Nothing), "it is known now");
        std::fs::remove_file(at("k")).unwrap();
        knocker.send(()).unwrap();
        assert!(matches!(files.next(LOOK), Arrival::Unreadable(_)));
        assert!(matches!(files.next(Duration::ZERO), Arrival::Nothing), "said once");
        drop(knocker);
        assert!(matches!(files.next(LOOK), Arrival::End));
    }

    #[test]
    fn an_end_within_two_weeks_is_told_and_a_later_one_is_not() {
        let pairs = [files("a"), files("b")];
        let facts = tls::settle(&pairs, &[pair(2999), pair(2998)], None).unwrap().facts;
        let before = |days: u64| facts[1].not_after - Duration::from_secs(days * 24 * 3600);
        assert_eq!(endings(&pairs, &facts, before(14)), [""; 0]);
        assert_eq!(endings(&pairs, &facts, before(13)), ["certificate /b.pem expires in 13 days; renew it"]);
    }
}
