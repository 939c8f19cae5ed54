//! Topologies that anybody wrote: every fault has a place in the text, and what has none can be planned, drawn and edited.
#![no_main]

use libfuzzer_sys::fuzz_target;
use topology::{Faults, Listeners, Role, Topology, edit};
use verbund_fuzz::fqdn;

fuzz_target!(|text: &str| {
    let topology = match Topology::parse(text) {
        Ok(topology) => topology,
        Err(Faults(faults)) => {
            let lines = text.matches('\n').count() + 1;
            return assert!(!faults.is_empty() && faults.iter().all(|fault| (1..=lines).contains(&fault.line) && fault.column > 0));
        }
    };
    assert!(topology::plan(&topology, &topology).is_empty());
    let _ = topology::graph(&topology);
    let new = edit::NewServer {
        name: fqdn("new.contoso.example"),
        roles: vec![Role::FrontEnd],
        pool: None,
        listeners: Listeners::default(),
        expected: true,
    };
    // What we write is a topology again, one version higher, and taking it out leaves what was there.
    if let Ok(added) = edit::add_server(text, &new) {
        let added_topology = Topology::parse(&added).expect("an edit of ours has no faults");
        assert!(added_topology.version() > topology.version());
        let removed = Topology::parse(&edit::remove_server(&added, &new.name).expect("it is there")).expect("no faults");
        assert_eq!(removed.pools(), topology.pools());
    }
});
