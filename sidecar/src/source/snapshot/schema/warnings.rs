//! What a target's login may not do, gathered so that each reason is said once.

use std::collections::BTreeSet;

use postgres_protocol::escape::escape_identifier;

/// What was left out, by reason.
#[derive(Default)]
pub(super) struct Warnings {
    pub(super) owners: BTreeSet<String>,
    pub(super) missing: BTreeSet<String>,
    pub(super) tablespaces: BTreeSet<String>,
    pub(super) event_triggers: BTreeSet<String>,
    pub(super) foreign: BTreeSet<String>,
    pub(super) lowered: BTreeSet<String>,
    pub(super) passwords: bool,
}

impl Warnings {
    /// For people, one line for each reason.
    pub(super) fn lines(self, login: &str) -> Vec<String> {
        let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
        let login_name = escape_identifier(login);
        let mut lines = Vec::new();
        if self.passwords {
            lines.push(
                "roles are copied without passwords: only a superuser of the source can read them".to_owned(),
            );
        }
        for (names, before, after) in [
            (
                self.owners,
                "objects of these roles belong to the target's login instead: ",
                format!(" (grant them to {login_name} to keep owners)"),
            ),
            (
                self.missing,
                "grants and policies for roles the target does not have are left out: ",
                String::new(),
            ),
            (
                self.tablespaces,
                "tablespaces the target does not have are replaced by the default: ",
                String::new(),
            ),
            (
                self.event_triggers,
                "event triggers are left out, this login may not make them at the target: ",
                String::new(),
            ),
                        (
                self.lowered,
                "roles are made without what only a superuser can give (superuser, replication, bypassrls, settings): ",
                String::new(),
            ),
(self.foreign, "left out, the object belongs to another role at the target: ", String::new()),
        ] {
            if !names.is_empty() {
                lines.push(format!("{before}{}{after}", list(names)));
            }
        }
        lines
    }
}
