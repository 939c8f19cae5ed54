//! OpenSSL and curl look at the ports: versions, chain, names.

use interop::{Handshake, Server, Site, https_get, in_own_network};

/// Both ports of a server have the same TLS.
fn sites(server: &Server) -> [Site; 2] {
    [server.site(), Site { port: 8443, ..server.site() }]
}

#[test]
fn tls_1_2_and_1_3_are_spoken_with_aead_suites() {
    in_own_network(|lab| {
        for site in sites(&Server::start(lab)) {
            for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
                let seen = Handshake::with(&site, &[option]);
                assert_eq!(seen.version(), Some(version), "port {}: {}", site.port, seen.text());
                let suite = seen.suite().unwrap_or_default();
                assert!(suite.contains("GCM") || suite.contains("CHACHA20"), "{suite}");
            }
        }
    });
}

#[test]
fn tls_1_1_and_older_are_refused() {
    in_own_network(|lab| {
        for site in sites(&Server::start(lab)) {
            // Security level 0, because OpenSSL of itself no longer offers these versions. The alert is not always the one about
            // versions: so old a greeting also lacks what a newer one must have, and either may be seen first.
            for option in ["-tls1_1", "-tls1"] {
                let seen = Handshake::with(&site, &[option, "-cipher", "ALL:@SECLEVEL=0"]);
                assert_eq!(seen.version(), None, "port {}: {}", site.port, seen.text());
                assert!(seen.text().contains("alert"), "it is told so: {}", seen.text());
            }
        }
    });
}

#[test]
fn the_certificate_verifies_for_its_own_names_only() {
    in_own_network(|lab| {
        for site in sites(&Server::start(lab)) {
            for name in ["sip.verbund.test", "verbund.test"] {
                let seen = Handshake::with(&site, &["-verify_hostname", name]);
                assert!(seen.verified(), "port {}, {name}: {}", site.port, seen.text());
            }
            for name in ["other.verbund.test", "a.sip.verbund.test", "localhost"] {
                let seen = Handshake::with(&site, &["-verify_hostname", name]);
                assert!(!seen.verified(), "port {}, {name}: {}", site.port, seen.text());
            }
        }
    });
}

#[test]
fn health_and_metrics_are_served_over_https_only() {
    in_own_network(|lab| {
        let server = Server::start(lab);
        let [_, https] = sites(&server);
        let (code, _) = https_get(&https, "/health").expect("curl trusts the root");
        assert_eq!(code, 200);
        let (code, metrics) = https_get(&https, "/metrics").expect("curl trusts the root");
        assert_eq!(code, 200);
        assert!(metrics.contains("verbund_"), "{metrics}");
        let elsewhere = Site { name: "other.verbund.test".to_owned(), ..https };
        https_get(&elsewhere, "/health").expect_err("the name differs");
    });
}
