//! What one certificate costs the CA: issued for a request, and judged again by those who meet it. Store and network are not in it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use criterion::{Criterion, criterion_group, criterion_main};
use pki::{Authority, CertificateRequest, Fqdn, Key, Purpose, Revocation, ServerNames, certificate_request, verify};

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

fn issuing(criterion: &mut Criterion) {
    let now = SystemTime::now();
    let (root, authority) = Authority::create("Contoso", &[fqdn("contoso.example")], now).unwrap();
    let names = ServerNames { server: fqdn("fe1.contoso.example"), aliases: vec![], domains: vec![fqdn("contoso.example")] };
    let request = certificate_request(&Key::generate().unwrap(), &[]).unwrap();
    criterion.bench_function("request read and certificate issued", |bencher| {
        bencher.iter(|| {
            let request = CertificateRequest::from_der(black_box(&request)).unwrap();
            authority.issue_server(&names, request.key(), now).unwrap()
        });
    });
    let chain = authority.issue_server(&names, CertificateRequest::from_der(&request).unwrap().key(), now).unwrap().chain;
    let (anchors, lists) = (authority.anchors(), authority.first_lists(&root, now).unwrap());
    let revocation = Revocation::strict(lists, Duration::ZERO);
    criterion.bench_function("chain judged, lists looked at", |bencher| {
        bencher.iter(|| verify(black_box(&chain), &anchors, &revocation, Purpose::Server, now).unwrap());
    });
}

criterion_group!(benches, issuing);
criterion_main!(benches);
