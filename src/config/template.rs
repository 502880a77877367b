//! Where the Maildir of a user is.
//!
//! Owns: the placeholders of `[mail] maildir`, and that no user name leads out of the place they stand at.
//! Does not know: whether there is such a directory.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::user::UserName;

/// A path with placeholders: `/var/mail/{user}`, `{home}/Maildir`. Absolute once it is filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MaildirTemplate(Vec<Part>);

impl MaildirTemplate {
    /// The Maildir of `user`, whose line in the users file names `home`.
    pub fn path(&self, user: &UserName, home: Option<&Path>) -> Result<PathBuf, TemplateError> {
        let mut path = OsString::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => path.push(text),
                Part::User => path.push(component(user, "user", user.as_str())?),
                Part::Local => path.push(component(user, "local", user.local())?),
                Part::Domain => path.push(component(user, "domain", user.domain())?),
                Part::Home => path.push(absolute_home(user, home)?),
            }
        }
        Ok(path.into())
    }
}

impl MaildirTemplate {
    /// The folder that all Maildirs are in, whatever the user is called: what stands before the first placeholder.
    /// `None` where they are in the users' homes.
    pub fn root(&self) -> Option<&Path> {
        let Some(Part::Literal(head)) = self.0.first() else { return None };
        // What has no slash behind it is the beginning of a name.
        let whole = self.0.len() == 1;
        Some(Path::new(if whole { head.as_str() } else { &head[..=head.rfind('/')?] }))
    }
}

/// Why a user has no Maildir.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum TemplateError {
    /// A name that would lead elsewhere: `..`, `a/b`, or nothing where something must stand.
    #[error("{{{placeholder}}} of the user {user} is {value:?}, which can be no part of a path")]
    Component {
        /// Who.
        user: UserName,
        /// Without its braces.
        placeholder: &'static str,
        /// What it stands for.
        value: String,
    },
    /// `{home}`, and the users file names none.
    #[error(
        "the users file names no home directory for {user}, and {{home}} needs one; \
         make its line {user}:PASSWORD::::/home/{user}"
    )]
    NoHome {
        /// Who.
        user: UserName,
    },
    /// `{home}`, and the one in the users file begins nowhere.
    #[error("the home directory of {user} in the users file is {home:?}: write the whole path, from / on")]
    RelativeHome {
        /// Who.
        user: UserName,
        /// As written.
        home: PathBuf,
    },
}

/// What is wrong with the text of a template, with the mend.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum NotATemplate {
    /// Relative to a working directory that nobody knows.
    #[error("\"{0}\" begins nowhere; write a path that begins with / or {{home}}, such as \"/var/mail/{{user}}\"")]
    Relative(String),
    /// In braces, and none of ours.
    #[error("{{{0}}} is no placeholder; there are {{user}}, {{local}}, {{domain}} and {{home}}")]
    Unknown(String),
    /// A brace without the other.
    #[error("\"{0}\" has a brace without its other half; placeholders are {{user}}, {{local}}, {{domain}}, {{home}}")]
    Brace(String),
    /// `/var{home}` would be a path that nobody means.
    #[error("{{home}} is a whole path: it can only stand at the beginning, with / behind it")]
    Home,
    /// Written in the way of another server.
    #[error("\"{found}\" is another server's way; here it is {ours}")]
    Foreign {
        /// As written.
        found: &'static str,
        /// The same here.
        ours: &'static str,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    User,
    Local,
    Domain,
    Home,
}

impl FromStr for MaildirTemplate {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<MaildirTemplate, NotATemplate> {
        refuse_foreign(text)?;
        // A slash at the end would be doubled in every path below.
        let parts = parts(match text.trim_end_matches('/') {
            "" => text,
            trimmed => trimmed,
        })?;
        match parts.as_slice() {
            [Part::Home] => {}
            [Part::Home, Part::Literal(behind), ..] if behind.starts_with('/') => {}
            [Part::Literal(first), ..] if first.starts_with('/') => {}
            [Part::Home, ..] => return Err(NotATemplate::Home),
            _ => return Err(NotATemplate::Relative(text.to_owned())),
        }
        if parts[1..].contains(&Part::Home) {
            return Err(NotATemplate::Home);
        }
        Ok(MaildirTemplate(parts))
    }
}

impl fmt::Display for MaildirTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::User => f.write_str("{user}"),
            Part::Local => f.write_str("{local}"),
            Part::Domain => f.write_str("{domain}"),
            Part::Home => f.write_str("{home}"),
        })
    }
}

fn parts(text: &str) -> Result<Vec<Part>, NotATemplate> {
    let brace = || NotATemplate::Brace(text.to_owned());
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            parts.push(Part::Literal(rest[..at].to_owned()));
        }
        let inside = rest[at..].strip_prefix('{').ok_or_else(brace)?;
        let (name, behind) = inside.split_once('}').ok_or_else(brace)?;
        parts.push(match name {
            "user" => Part::User,
            "local" => Part::Local,
            "domain" => Part::Domain,
            "home" => Part::Home,
            _ => return Err(NotATemplate::Unknown(name.to_owned())),
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

fn refuse_foreign(text: &str) -> Result<(), NotATemplate> {
    const FOREIGN: [(&str, &str); 6] = [
        ("%u", "{user}"),
        ("%n", "{local}"),
        ("%d", "{domain}"),
        ("%h", "{home}"),
        ("maildir:", "the path alone"),
        ("~", "{home}"),
    ];
    match FOREIGN
        .iter()
        .find(|(found, _)| if found.starts_with('%') { text.contains(found) } else { text.starts_with(found) })
    {
        Some(&(found, ours)) => Err(NotATemplate::Foreign { found, ours }),
        None => Ok(()),
    }
}

/// A stranger chooses the name, so it must stay the one directory that it stands for.
fn component<'a>(user: &UserName, placeholder: &'static str, value: &'a str) -> Result<&'a str, TemplateError> {
    match value {
        "" | "." | ".." => {}
        value if value.contains(['/', '\0']) => {}
        value => return Ok(value),
    }
    Err(TemplateError::Component { user: user.clone(), placeholder, value: value.to_owned() })
}

fn absolute_home<'a>(user: &UserName, home: Option<&'a Path>) -> Result<&'a Path, TemplateError> {
    match home {
        Some(home) if home.is_absolute() => Ok(home),
        Some(home) => Err(TemplateError::RelativeHome { user: user.clone(), home: home.to_owned() }),
        None => Err(TemplateError::NoHome { user: user.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, user: &str, home: Option<&str>) -> Result<PathBuf, TemplateError> {
        let user = UserName::parse(user.as_bytes()).unwrap();
        template.parse::<MaildirTemplate>().unwrap().path(&user, home.map(Path::new))
    }

    #[test]
    fn placeholders_are_filled_in() {
        let at = |template, home| path(template, "ada@example.org", home).unwrap().display().to_string();
        assert_eq!(at("/var/mail/{user}", None), "/var/mail/ada@example.org");
        assert_eq!(at("/srv/{domain}/{local}/Maildir", None), "/srv/example.org/ada/Maildir");
        assert_eq!(at("{home}/Maildir", Some("/home/ada")), "/home/ada/Maildir");
        assert_eq!(at("{home}", Some("/home/ada")), "/home/ada");
        assert_eq!(at("{home}/Maildir/", Some("/home/ada")), "/home/ada/Maildir");
    }

    #[test]
    fn no_name_leads_out_of_its_place() {
        for hostile in ["..", ".", "a/b", "/etc", "../../etc", "../x@example.org"] {
            let told = path("/var/mail/{user}", hostile, None);
            assert!(matches!(told, Err(TemplateError::Component { placeholder: "user", .. })), "{hostile}: {told:?}");
        }
        for (template, hostile, placeholder) in [
            ("/srv/{domain}/{local}", "ada", "domain"),
            ("/srv/{domain}/{local}", "ada@..", "domain"),
            ("/srv/{domain}/{local}", "..@example.org", "local"),
            ("/srv/{local}", "@example.org", "local"),
        ] {
            let told = path(template, hostile, None);
            assert!(
                matches!(&told, Err(TemplateError::Component { placeholder: p, .. }) if *p == placeholder),
                "{told:?}"
            );
        }
    }

    #[test]
    fn home_must_be_known_and_absolute() {
        let told = path("{home}/Maildir", "ada", None).unwrap_err().to_string();
        assert!(told.contains("ada:PASSWORD::::/home/ada"), "{told}");
        let told = path("{home}/Maildir", "ada", Some("home/ada")).unwrap_err().to_string();
        assert!(told.contains("from / on"), "{told}");
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        let told = |text: &str| text.parse::<MaildirTemplate>().unwrap_err();
        assert_eq!(told("mail/{user}"), NotATemplate::Relative("mail/{user}".into()));
        assert_eq!(told(""), NotATemplate::Relative("".into()));
        assert_eq!(told("{user}/x"), NotATemplate::Relative("{user}/x".into()));
        assert_eq!(told("/var/mail/{name}"), NotATemplate::Unknown("name".into()));
        assert_eq!(told("/var/mail/{user"), NotATemplate::Brace("/var/mail/{user".into()));
        assert_eq!(told("/var/mail/user}"), NotATemplate::Brace("/var/mail/user}".into()));
        assert_eq!(told("/var{home}"), NotATemplate::Home);
        assert_eq!(told("{home}x"), NotATemplate::Home);
        assert_eq!(told("/var/mail/%u"), NotATemplate::Foreign { found: "%u", ours: "{user}" });
        assert_eq!(told("maildir:~/Maildir"), NotATemplate::Foreign { found: "maildir:", ours: "the path alone" });
        assert_eq!(told("~/Maildir"), NotATemplate::Foreign { found: "~", ours: "{home}" });
    }

    #[test]
    fn a_template_shows_as_it_was_written() {
        for text in ["/var/mail/{user}", "{home}/Maildir", "/srv/{domain}/{local}/m"] {
            assert_eq!(text.parse::<MaildirTemplate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_root_is_the_last_whole_folder_before_a_placeholder() {
        let root = |text: &str| text.parse::<MaildirTemplate>().unwrap().root().map(|it| it.display().to_string());
        assert_eq!(root("/var/mail/{user}"), Some("/var/mail/".to_owned()));
        assert_eq!(root("/var/mail/of-{user}/Maildir"), Some("/var/mail/".to_owned()));
        assert_eq!(root("/{domain}/{local}"), Some("/".to_owned()));
        assert_eq!(root("/var/mail/all"), Some("/var/mail/all".to_owned()));
        assert_eq!(root("{home}/Maildir"), None);
    }
}
