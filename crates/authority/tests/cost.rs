//! What issuing costs the authority, with everything that belongs to it: who may have it, the names of the topology, the signature, the
//! ledger and the audit log on the disk. Measured by hand, because the figures say something on a quiet machine and in
//! release builds only: `cargo test --release -p authority --test cost -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod world;

use std::time::{Duration, Instant};

use pki::Key;
use web::enrolment::{Applicant, Enrolment as _};
use world::{World, fqdn};

/// Servers, and how many certificates each asks for: no more than one may hold.
const SERVERS: usize = 10;
const EACH: usize = 80;

/// What this process has used of the processors.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(tasks.filter_map(nanoseconds).sum())
}

async fn measure(workers: usize) {
    let world = World::new().await;
    let mut asked = vec![Vec::new(); workers];
    for server in 0..SERVERS {
        let name = format!("fe{server}.a.test");
        world.joined(&name).await;
        for number in 0..EACH {
            let request = pki::certificate_request(&Key::generate().unwrap(), &[]).unwrap();
            asked[number % workers].push((Applicant::Member(fqdn(&name)), request));
        }
    }
    let (before, start) = (processor_time(), Instant::now());
    let asking: Vec<_> = asked
        .into_iter()
        .map(|requests| {
            let authority = world.authority.clone();
            tokio::spawn(async move {
                for (applicant, request) in requests {
                    authority.issue(applicant, request).await.unwrap();
                }
            })
        })
        .collect();
    for one in asking {
        one.await.unwrap();
    }
    let (count, took) = ((SERVERS * EACH) as f64, start.elapsed().as_secs_f64());
    let each = (processor_time() - before).as_secs_f64() * 1e6 / count;
    eprintln!("issuance, {workers} asking at a time: {:.0} a second, {each:.0} us of processor time each", count / took);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn issuance() {
    measure(1).await;
    measure(8).await;
}
