//! A CA whose keys lie in a token (SoftHSM 2), believed by us and by the `openssl` program.
//!
//! Skipped, with a line that says so, where SoftHSM is not installed and no CI demands it. The module reads where its tokens are from
//! the environment, and looks for them once, so each test runs in a process of its own.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{path::Path, process::Command, sync::Arc, time::SystemTime};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::Attribute,
};
use hsm::{KeyUri, TokenFault, TokenKey};
use pki::{
    Authority, CaKey as _, CaSigner, Fqdn, IssuerKind, IssuingAuthority, IssuingPlan, Key, KeyFault, Purpose, Revocation, RevocationList,
    Root, ServerNames, certificates_to_pem, verify,
};
use zeroize::Zeroizing;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const TOKEN: &str = "CA";
const PIN: &str = "483920";

/// Set in the process that has the environment which the module needs. Changing one's own is not safe.
const INSIDE: &str = "VERBUND_TEST_WITH_TOKENS";

fn pin(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

/// Runs a test in a process of its own, with a folder of tokens and one token in it.
fn with_token(test: &str, body: impl FnOnce(&dyn Fn(&str) -> KeyUri)) {
    if std::env::var_os(INSIDE).is_some() {
        return body(&|object| KeyUri::new(MODULE, TOKEN, object));
    }
    if !Path::new(MODULE).exists() {
        assert!(std::env::var_os("CI").is_none(), "SoftHSM 2 is not installed, and in CI nothing is passed over");
        eprintln!("skipped: SoftHSM 2 is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    std::fs::write(&configuration, format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.path().display())).unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let output =
            Command::new(program).args(arguments).env("SOFTHSM2_CONF", &configuration).env(INSIDE, folder.path()).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        said
    };
    let arguments = ["--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "739201"];
    run(Path::new("softhsm2-util"), &arguments);
    let said = run(&std::env::current_exe().unwrap(), &[test, "--exact", "--nocapture"]);
    assert!(said.contains("1 passed"), "{said}");
}

fn domains() -> [Fqdn; 1] {
    [Fqdn::parse("contoso.example").unwrap()]
}

/// A root and an issuing CA for servers, both with keys in the token.
fn authority(key: &dyn Fn(&str) -> KeyUri, now: SystemTime) -> (Root, Authority) {
    let signer = |object: &str| CaSigner::new(Arc::new(TokenKey::generate(&key(object), pin(PIN)).unwrap()));
    let root = Root::create_with("Contoso", 1, signer("root"), now).unwrap();
    let issuing = signer("issuing");
    let domains = domains();
    let plan = IssuingPlan { organisation: "Contoso", generation: 1, kind: IssuerKind::Servers, domains: &domains, urls: None };
    let certificate = root.issue(&plan, issuing.public(), now).unwrap();
    let servers = IssuingAuthority::of(IssuerKind::Servers, certificate, issuing).unwrap();
    let authority = Authority::of(root.certificate().clone(), servers, None).unwrap();
    (root, authority)
}

#[test]
fn a_ca_in_a_token_issues_and_revokes_and_everybody_believes_it() {
    with_token("a_ca_in_a_token_issues_and_revokes_and_everybody_believes_it", |key| {
        let now = SystemTime::now();
        let (root, authority) = authority(key, now);
        let names = ServerNames { server: Fqdn::parse("fe1.contoso.example").unwrap(), aliases: vec![], domains: vec![] };
        let issued = authority.issue_server(&names, &Key::generate().unwrap().public(), now).unwrap();
        assert!(verify(&issued.chain, &authority.anchors(), &Revocation::none(), Purpose::Server, now).is_ok());
        let lists = [root.revocation_list(&[], 1, now).unwrap(), authority.revocation_list(IssuerKind::Servers, &[], 1, now).unwrap()];
        let issuers = [root.certificate().clone(), authority.issuing().clone()];
        lists.iter().for_each(|der| assert!(RevocationList::read(der, &issuers).is_ok()));

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), root.certificate_pem()).unwrap();
        std::fs::write(folder.path().join("chain.pem"), certificates_to_pem(&issued.chain)).unwrap();
        let arguments = ["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "chain.pem", "chain.pem"];
        let Ok(output) = Command::new("openssl").args(arguments).current_dir(folder.path()).output() else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

#[test]
fn the_key_is_found_again_and_never_comes_out() {
    with_token("the_key_is_found_again_and_never_comes_out", |key| {
        let (_, authority) = authority(key, SystemTime::now());
        let again = TokenKey::open(&key("issuing"), pin(PIN)).unwrap();
        assert!(IssuingAuthority::of(IssuerKind::Servers, authority.issuing().clone(), CaSigner::new(Arc::new(again))).is_ok());
        assert_eq!(authority.key_pem().unwrap_err(), KeyFault::NotShown);
        let shown = format!("{:?}", authority.servers());
        assert!(shown.contains("TokenKey(pkcs11:token=CA;object=issuing?module-path=") && !shown.contains(PIN), "{shown}");
    });
}

#[test]
fn what_is_missing_or_taken_is_told() {
    with_token("what_is_missing_or_taken_is_told", |key| {
        let fault = |uri: &KeyUri| TokenKey::open(uri, pin(PIN)).unwrap_err();
        assert!(matches!(fault(&key("nobody")), TokenFault::NoKey { .. }));
        assert!(matches!(fault(&KeyUri::new(MODULE, "another", "issuing")), TokenFault::NoToken { .. }));
        assert!(matches!(fault(&KeyUri::new("/nowhere/x.so", TOKEN, "issuing")), TokenFault::Module { .. }));
        let made = TokenKey::generate(&key("issuing"), pin(PIN)).unwrap();
        assert!(matches!(TokenKey::generate(&key("issuing"), pin(PIN)), Err(TokenFault::Taken { .. })));
        assert_eq!(TokenKey::open(&key("issuing"), pin(PIN)).unwrap().public(), made.public());
    });
}

#[test]
fn a_wrong_pin_opens_nothing() {
    with_token("a_wrong_pin_opens_nothing", |key| {
        let fault = TokenKey::generate(&key("issuing"), pin("000000")).unwrap_err();
        assert!(matches!(fault, TokenFault::Pin { .. }), "{fault}");
        assert!(!fault.to_string().contains("000000"));
    });
}

/// A key that can be taken out may be anywhere.
#[test]
fn p5_a_key_that_could_come_out_is_refused() {
    with_token("p5_a_key_that_could_come_out_is_refused", |key| {
        // As long as it is there, this process is logged in.
        let _ours = TokenKey::generate(&key("ours"), pin(PIN)).unwrap();
        let module = Pkcs11::new(MODULE).unwrap();
        let slot = module.get_slots_with_token().unwrap()[0];
        let session = module.open_rw_session(slot).unwrap();
        for (label, sensitive, extractable, kept) in
            [("kept", true, false, true), ("wrapped", true, true, false), ("open", false, false, false), ("both", false, true, false)]
        {
            let shared = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(label.into())];
            let public = [Attribute::EcParams(vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7])];
            let private = [Attribute::Sensitive(sensitive), Attribute::Extractable(extractable), Attribute::Sign(true)];
            let (public, private) = ([&shared[..], &public].concat(), [&shared[..], &private].concat());
            session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
            let found = TokenKey::open(&key(label), pin(PIN));
            assert!(matches!((&found, kept), (Ok(_), true) | (Err(TokenFault::Extractable { .. }), false)), "{label}: {found:?}");
        }
    });
}

#[test]
fn a_lost_session_is_opened_again() {
    with_token("a_lost_session_is_opened_again", |key| {
        let made = TokenKey::generate(&key("issuing"), pin(PIN)).unwrap();
        assert!(made.sign(b"one").is_ok());
        // The module forgets every session of this process, as when the token is pulled out and put back.
        Pkcs11::new(MODULE).unwrap().finalize().unwrap();
        Pkcs11::new(MODULE).unwrap().initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        assert!(made.sign(b"two").is_ok());
    });
}
