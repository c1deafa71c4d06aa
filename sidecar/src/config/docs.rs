//! The tables of `docs/configuration.md`, read off the settings. `cargo test -p pgstream write_configuration -- --ignored` writes them.

use std::fmt::Write;
use std::path::PathBuf;

use super::setting::{Feature, Kind, Scope, Setting, PREFIX};
use super::table::SETTINGS;

const BEGIN: &str = "<!-- the tables below are written from the table of settings -->\n";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md")
}

fn value(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::PostgresUrl => "PostgreSQL URL".into(),
        Kind::Url => "address".into(),
        Kind::Bool => "true, false".into(),
        Kind::Presence => "true, false, `{}`".into(),
        Kind::BoolOrAuto => "true, false, auto".into(),
        Kind::BoolOrUrl => "true, false".into(),
        Kind::Millis => "duration; bare: ms".into(),
        Kind::Seconds => "duration; bare: s".into(),
        Kind::Size => "size".into(),
        Kind::Count => "number".into(),
        Kind::Ratio => "ratio".into(),
        Kind::List => "list".into(),
        Kind::Choice(words) => words.join(", "),
        Kind::Tree => "yaml".into(),
    }
}

fn row(setting: &Setting) -> String {
    let mut names: Vec<String> = setting.env.iter().map(|name| format!("`{PREFIX}{name}`")).collect();
    names.extend((!setting.flags.is_empty()).then(|| format!("`{}`", setting.flags)));
    let about = match setting.scope {
        Scope::Used | Scope::Of(_) => setting.about.to_owned(),
        Scope::NoEffect(why) => format!("{} *Accepted, no effect: {why}.*", setting.about),
        Scope::Refused(what) => {
            format!("{} *Refused unless off: this build does not have {what}.*", setting.about)
        }
        Scope::Missing(what) => {
            format!("{} *No effect, with a warning: this build does not have {what}.*", setting.about)
        }
    };
    format!(
        "| `{}` | {} | {} | {} | {about} |\n",
        setting.key,
        names.join("<br>"),
        value(setting.kind),
        if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) }
    )
}

fn section(out: &mut String, title: &str, belongs: impl Fn(&Setting) -> bool) {
    let head = "| yaml | variable, flag | value | default | meaning |\n|---|---|---|---|---|\n";
    let _ = write!(out, "\n{title}\n\n{head}");
    SETTINGS.iter().filter(|setting| belongs(setting)).for_each(|setting| out.push_str(&row(setting)));
}

fn tables() -> String {
    let mut out = String::new();
    let here = |setting: &Setting| !matches!(setting.scope, Scope::Of(_));
    for (title, prefix) in
        [("## Source", "source."), ("## Target", "target."), ("## On the way", "modifiers.")]
    {
        section(&mut out, title, |setting| here(setting) && setting.key.starts_with(prefix));
    }
    section(&mut out, "## The program", |setting| {
        here(setting)
            && !["source.", "target.", "modifiers."].iter().any(|prefix| setting.key.starts_with(prefix))
    });
    out.push_str("\n## Settings of features that this build does not have\n\nAccepted and checked, so that files that hold them can be used; `run` refuses to start when one of these features is asked for.\n");
    for feature in [Feature::Webhooks, Feature::Transformers] {
        let (first, rest) = feature.name().split_at(1);
        let title = format!("### {}{rest}", first.to_uppercase());
        section(&mut out, &title, |setting| setting.scope == Scope::Of(feature));
    }
    out
}

#[test]
fn configuration_lists_every_setting() {
    let text = std::fs::read_to_string(file()).expect("docs/configuration.md");
    let written = text.split_once(BEGIN).expect("the marker of the tables").1;
    assert_eq!(written, tables(), "run: cargo test -p pgstream write_configuration -- --ignored");
    for setting in SETTINGS {
        assert_eq!(written.matches(&format!("| `{}` |", setting.key)).count(), 1, "{}", setting.key);
    }
}

#[test]
#[ignore = "writes docs/configuration.md"]
fn write_configuration() {
    let text = std::fs::read_to_string(file()).expect("docs/configuration.md");
    let (prose, _) = text.split_once(BEGIN).expect("the marker of the tables");
    std::fs::write(file(), format!("{prose}{BEGIN}{}", tables())).expect("written");
}
