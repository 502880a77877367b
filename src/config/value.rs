//! The kinds of value that the file has, and what each says when it is written wrongly.
//!
//! Owns: the notation of addresses, networks, durations, counts.
//! Does not know: which key a value belongs to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::networks::{Network, Networks};
use super::template::MaildirTemplate;

/// Where something is wrong, and what.
pub(super) type Wrong = Vec<(Range<usize>, String)>;

/// A value that can be read from TOML.
pub(super) trait Value: Sized {
    /// `None` where nothing can be made of it; whatever is wrong goes to `wrong`, with the way to write it.
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Self>;
}

impl Value for bool {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            other => refuse(
                &value,
                wrong,
                format!("expected true or false, found {}; write it without quotation marks", shown(other)),
            ),
        }
    }
}

impl Value for String {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() => {
                refuse(&value, wrong, "is empty; leave the line out for the default".into())
            }
            DeValue::String(text) => Some(text.to_string()),
            other => {
                refuse(&value, wrong, format!("expected text, found {}; write it in quotation marks", shown(other)))
            }
        }
    }
}

/// A path, or empty text for none.
impl Value for Option<PathBuf> {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Option<PathBuf>> {
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() => Some(None),
            _ => String::read(value, wrong).map(|text| Some(text.into())),
        }
    }
}

impl Value for MaildirTemplate {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<MaildirTemplate> {
        let at = value.span();
        String::read(value, wrong)?.parse().map_err(|error| wrong.push((at, format!("{error}")))).ok()
    }
}

impl Value for u32 {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<u32> {
        let number = match value.get_ref() {
            DeValue::Integer(digits) => i128::from_str_radix(digits.as_str(), digits.radix()).ok(),
            other => {
                let text = format!("expected a number, found {}; write it in digits, such as 50", shown(other));
                return refuse(&value, wrong, text);
            }
        };
        // What is out of range for u32 is so for every key: let the check of the range tell of it.
        Some(number.map_or(u32::MAX, |number| number.clamp(0, u32::MAX.into()) as u32))
    }
}

impl Value for Duration {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Duration> {
        let mend = match value.get_ref() {
            DeValue::String(text) => match duration(text) {
                Some(duration) => return Some(duration),
                None => {
                    format!("{text:?} is no duration; write a number and s, m or h, such as \"60s\", \"10m\", \"1h\"")
                }
            },
            DeValue::Integer(digits) => {
                format!("{} of what? Write \"{0}s\" for seconds, \"{0}m\" for minutes", digits.as_str())
            }
            other => format!("expected a duration, found {}; write \"60s\", \"10m\" or \"1h\"", shown(other)),
        };
        refuse(&value, wrong, mend)
    }
}

impl Value for Vec<SocketAddr> {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Vec<SocketAddr>> {
        list(value, "[\"[::]:110\"] or [\"192.0.2.1:110\", \"127.0.0.1:110\"]", wrong, address)
    }
}

impl Value for Networks {
    fn read(value: Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Networks> {
        let read = |text: &str| Network::from_str(text).map_err(|error| error.to_string());
        Some(list(value, "[\"192.0.2.0/24\", \"::1\"]", wrong, read)?.into_iter().collect())
    }
}

/// A list of texts; `None` unless every one is right. `example` is how to write it.
fn list<T>(
    value: Spanned<DeValue<'_>>,
    example: &str,
    wrong: &mut Wrong,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let DeValue::Array(items) = value.get_ref() else {
        let text = format!("expected a list, found {}; write {example}", shown(value.get_ref()));
        return refuse(&value, wrong, text);
    };
    let before = wrong.len();
    let mut values = Vec::new();
    for item in items.iter() {
        match item.get_ref() {
            DeValue::String(text) => match read(text) {
                Ok(value) => values.push(value),
                Err(text) => wrong.push((item.span(), text)),
            },
            other => {
                wrong.push((item.span(), format!("expected text in the list, found {}; write {example}", shown(other))))
            }
        }
    }
    (wrong.len() == before).then_some(values)
}

/// An address with a port. An IPv4-mapped IPv6 address is that IPv4 address.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = SocketAddr::from_str(text) {
        return Ok(SocketAddr::new(address.ip().to_canonical(), address.port()));
    }
    let unbracketed = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(alone) = IpAddr::from_str(unbracketed) {
        return Err(format!("{text:?} has no port; write {:?}", SocketAddr::new(alone, 110).to_string()));
    }
    match text.rsplit_once(':') {
        Some(("*" | "", port)) if port.parse::<u16>().is_ok() => {
            Err(format!("{text:?} is no address; for every one write \"[::]:{port}\""))
        }
        Some((v6, port)) if Ipv6Addr::from_str(v6).is_ok() => {
            Err(format!("{text:?} has no brackets around its address; write \"[{v6}]:{port}\""))
        }
        Some((v4, _)) if Ipv4Addr::from_str(v4).is_ok() => {
            Err(format!("{text:?} has a port that is no number from 1 to 65535; write \"{v4}:110\""))
        }
        _ => Err(format!(
            "{text:?} is no address with a port; write \"[::]:110\" for every address, or one, as \"127.0.0.1:110\""
        )),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // More digits than fit are a long time all the same: let the check of the range tell of it.
    Some(Duration::from_secs(digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit)))
}

fn refuse<T>(value: &Spanned<DeValue<'_>>, wrong: &mut Wrong, text: String) -> Option<T> {
    wrong.push((value.span(), text));
    None
}

/// What stands in the file, for a sentence.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
