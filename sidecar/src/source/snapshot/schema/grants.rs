//! Taking apart the few entries that hold several statements or name roles, with PostgreSQL's own parser.

use pg_query::protobuf::{GrantStmt, Node, RoleSpec, RoleSpecType};
use pg_query::{NodeEnum, ParserOptions};

/// One statement of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its text, without the semicolon.
    pub(super) text: String,
    /// Roles it names, in any place.
    pub(super) roles: Vec<String>,
    /// Provider of a security label.
    pub(super) provider: Option<String>,
    /// Server of a user mapping.
    pub(super) server: Option<String>,
    /// It changes the session's user for what follows, or back.
    pub(super) authorization: bool,
}

/// The statements of a definition; `None` when the parser does not take it.
pub(super) fn parts(definition: &str) -> Option<Vec<Part>> {
    let parsed = pg_query::parse(definition, ParserOptions::DEFAULT).ok()?;
    let part = |raw: pg_query::protobuf::RawStmt| {
        let start = usize::try_from(raw.stmt_location).ok()?;
        let end = match usize::try_from(raw.stmt_len).ok()? {
            0 => definition.len(),
            length => start + length,
        };
        let text = definition.get(start..end)?.trim().trim_end_matches(';').to_owned();
        Some(read(text, raw.stmt?.node?))
    };
    parsed.protobuf.stmts.into_iter().map(part).collect()
}

/// Puts statements together again.
pub(super) fn join<'a>(parts: impl IntoIterator<Item = &'a Part>) -> String {
    parts.into_iter().map(|part| format!("{};\n", part.text)).collect()
}

fn read(text: String, node: NodeEnum) -> Part {
    let mut part = Part { text, roles: Vec::new(), provider: None, server: None, authorization: false };
    match node {
        NodeEnum::GrantStmt(grant) => add_grant(&mut part, &grant),
        NodeEnum::AlterDefaultPrivilegesStmt(alter) => {
            let options = alter.options.iter().filter_map(|option| match option.node.as_ref()? {
                NodeEnum::DefElem(element) => element.arg.as_ref()?.node.as_ref(),
                _ => None,
            });
            let lists = options.filter_map(|argument| match argument {
                NodeEnum::List(list) => Some(&list.items),
                _ => None,
            });
            lists.for_each(|list| add_nodes(&mut part, list));
            alter.action.iter().for_each(|grant| add_grant(&mut part, grant));
        }
        NodeEnum::CreatePolicyStmt(policy) => add_nodes(&mut part, &policy.roles),
        NodeEnum::CreateUserMappingStmt(mapping) => {
            mapping.user.iter().for_each(|role| add(&mut part, role));
            part.server = Some(mapping.servername);
        }
        NodeEnum::SecLabelStmt(label) => part.provider = Some(label.provider),
        NodeEnum::VariableSetStmt(set) => part.authorization = set.name == "session_authorization",
        _ => {}
    }
    part
}

fn add_grant(part: &mut Part, grant: &GrantStmt) {
    add_nodes(part, &grant.grantees);
    grant.grantor.iter().for_each(|role| add(part, role));
}

fn add_nodes(part: &mut Part, nodes: &[Node]) {
    for node in nodes {
        if let Some(NodeEnum::RoleSpec(role)) = &node.node {
            add(part, role);
        }
    }
}

/// Only what is a name: not `public`, not `current_user`.
fn add(part: &mut Part, role: &RoleSpec) {
    if role.roletype == RoleSpecType::RolespecCstring as i32 {
        part.roles.push(role.rolename.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(definition: &str) -> Vec<Vec<String>> {
        parts(definition).unwrap().into_iter().map(|part| part.roles).collect()
    }

    #[test]
    fn roles_are_found_in_every_place() {
        let acl = "REVOKE ALL ON TABLE s.t FROM \"Own;er\";\nGRANT SELECT ON TABLE s.t TO reader WITH GRANT OPTION;\n\
            SET SESSION AUTHORIZATION reader;\nGRANT SELECT ON TABLE s.t TO PUBLIC;\nRESET SESSION AUTHORIZATION;\n";
        assert_eq!(
            roles(acl),
            [vec!["Own;er".to_owned()], vec!["reader".to_owned()], vec![], vec![], vec![]]
        );
        let authorization: Vec<bool> = parts(acl).unwrap().iter().map(|part| part.authorization).collect();
        assert_eq!(authorization, [false, false, true, false, true]);
        let default = "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT SELECT ON TABLES TO b;";
        assert_eq!(roles(default), [["a", "b"]]);
        assert_eq!(roles("CREATE POLICY p ON s.t TO a, b USING ((x = 'to c'::text));"), [["a", "b"]]);
        assert_eq!(roles("CREATE USER MAPPING FOR a SERVER x;"), [["a"]]);
        assert_eq!(roles("CREATE USER MAPPING FOR public SERVER x;"), [Vec::<String>::new()]);
    }

    #[test]
    fn labels_know_their_provider() {
        let labels = "SECURITY LABEL FOR anon ON TABLE s.t IS 'a;\nb';\nSECURITY LABEL FOR \"Se\" ON COLUMN s.t.c IS 'x';\n";
        let parts = parts(labels).unwrap();
        assert_eq!(
            parts.iter().filter_map(|part| part.provider.as_deref()).collect::<Vec<_>>(),
            ["anon", "Se"]
        );
        assert_eq!(join(&parts[..1]), "SECURITY LABEL FOR anon ON TABLE s.t IS 'a;\nb';\n");
    }
}
