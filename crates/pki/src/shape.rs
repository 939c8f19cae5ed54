//! What a certificate must look like to be believed (RFC 5280 §4), as far as path building does not
//! look: what can be read in two ways, or says what nobody may say.

use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, NameConstraints, ParsedExtension},
    oid_registry,
};

use crate::{Rejection, describe};

/// The longest serial number, in octets (RFC 5280 §4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// What holds for every certificate of a path below the root.
pub(crate) fn check(certificate: &X509Certificate<'_>, role: Role) -> Result<(), Rejection> {
    let rules: &[Rule] = match role {
        Role::Leaf => &[serial, unreadable, policy_constraints, leaf_constraints, alternative_names],
        Role::Authority => &[serial, unreadable, policy_constraints, subject, name_constraints],
    };
    first_broken(certificate, rules)
}

/// What holds for a root. Its serial number and its dates are its own business, or looked at elsewhere.
pub(crate) fn check_anchor(certificate: &X509Certificate<'_>) -> Result<(), Rejection> {
    first_broken(certificate, &[unreadable, subject, name_constraints, authority_extensions])
}

/// What a certificate is there for in its path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Leaf,
    Authority,
}

/// `Err` with the words that follow "the certificate of …".
type Rule = fn(&X509Certificate<'_>) -> Result<(), &'static str>;

fn first_broken(certificate: &X509Certificate<'_>, rules: &[Rule]) -> Result<(), Rejection> {
    let broken = |rule| Rejection::Shape { subject: describe::name_text(certificate.subject()), rule };
    rules.iter().try_for_each(|rule| rule(certificate)).map_err(broken)
}

fn holds(is: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if is { Ok(()) } else { Err(otherwise) }
}

/// §4.1.2.2: a positive number of at most 20 octets.
fn serial(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let raw = certificate.raw_serial();
    let negative = raw.first().is_some_and(|first| first & 0x80 != 0);
    let zero = raw.iter().all(|byte| *byte == 0);
    holds(
        !negative && !zero && raw.len() <= SERIAL_BYTES_MAX,
        "has a serial number that is not positive or has more than 20 octets (RFC 5280 section 4.1.2.2)",
    )
}

/// An extension that we know and cannot read could say anything.
fn unreadable(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let readable = |parsed: &ParsedExtension<'_>| !matches!(parsed, ParsedExtension::ParseError { .. });
    holds(
        certificate.extensions().iter().all(|extension| readable(extension.parsed_extension())),
        "has an extension that cannot be read (RFC 5280 section 4.2)",
    )
}

/// §4.2.1.11: a rule for policies, which are not processed here. Marked critical, path building refuses it.
fn policy_constraints(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let constrained = certificate.extensions().iter().any(|extension| extension.oid == oid_registry::OID_X509_EXT_POLICY_CONSTRAINTS);
    holds(!constrained, "has policy constraints, which are not understood here (RFC 5280 section 4.2.1.11)")
}

/// §4.2.1.10: only a CA can be limited to names.
fn leaf_constraints(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    holds(constraints(certificate).is_none(), "has name constraints without being a CA (RFC 5280 section 4.2.1.10)")
}

/// §4.2.1.6: without a subject, the alternative names are the subject.
fn alternative_names(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let mut names = certificate.extensions().iter().filter(|extension| extension.oid == oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME);
    let nameless = certificate.subject().iter().next().is_none();
    holds(
        !nameless || names.all(|extension| extension.critical),
        "has no subject, and alternative names that are not marked critical (RFC 5280 section 4.2.1.6)",
    )
}

/// §4.1.2.6: a CA has a name, or paths lead to anybody without one.
fn subject(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    holds(certificate.subject().iter().next().is_some(), "is that of a CA without a name (RFC 5280 section 4.1.2.6)")
}

/// §4.2.1.10: a limit that limits nothing, or one that every library reads in its own way.
fn name_constraints(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let Some(constraints) = constraints(certificate) else { return Ok(()) };
    let lists = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    let empty = lists.iter().all(|list| list.is_none()) || lists.iter().any(|list| list.as_ref().is_some_and(Vec::is_empty));
    holds(!empty, "has name constraints that name nothing (RFC 5280 section 4.2.1.10)")?;
    let dotted = |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(name) if name.starts_with('.'));
    let mut bases = lists.into_iter().flatten().flatten().map(|subtree| &subtree.base);
    holds(!bases.any(dotted), "has a name constraint that begins with a dot (RFC 5280 section 4.2.1.10)")
}

fn constraints<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a NameConstraints<'a>> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => Some(constraints),
        _ => None,
    })
}

/// §4.2.1.9 and §4.2.1.3: a CA says so in a critical extension, and may sign certificates.
fn authority_extensions(certificate: &X509Certificate<'_>) -> Result<(), &'static str> {
    let mut constraints = certificate.extensions().iter().filter(|extension| extension.oid == oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS);
    holds(
        constraints.all(|extension| extension.critical),
        "has basic constraints that are not marked critical (RFC 5280 section 4.2.1.9)",
    )?;
    let may_sign = match certificate.key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Err(_) => false,
    };
    holds(may_sign, "is that of a CA that may not sign certificates (RFC 5280 section 4.2.1.3)")
}
