//! What a ban costs, in steps.

use super::*;
use crate::effort;

/// How many steps it takes to ban so many sources one after the other, where the disk answers only after the
/// last one, and then to write them down and to finish them.
fn effort_of_bans(sources: u32, weight: Weight) -> usize {
    let mut desk = Desk::on();
    desk.engine.config.bans.max_brief = sources;
    // A commit runs.
    let event =
        Event::Asked { ticket: Ticket(1), caller: anna(), request: allow("joe 203.0.113.7 all") };
    let hanging = desk.engine.handle(event, desk.now);
    let effort = effort::of(|| {
        let mut denied = Vec::new();
        for number in 0..sources {
            let source = std::net::Ipv4Addr::from_bits(0x1E00_0000 + number).to_string();
            denied.extend(desk.attacked(vec![attack(&source, weight, 1)]));
        }
        // The kernel answers each of them, and the disk in the midst of that.
        let later = denied.split_off(denied.len() / 2);
        desk.execute(denied);
        desk.execute(hanging);
        desk.execute(later);
    });
    assert_eq!(desk.engine.state().bans.all.len(), sources as usize);
    assert_eq!(desk.stored(&State::default()).bans, desk.engine.state().bans);
    assert!(desk.agrees());
    effort
}

#[test]
fn a_ban_costs_the_same_however_many_there_are() {
    for weight in [Weight::Full, Weight::Brief] {
        let (few, many) = (effort_of_bans(200, weight), effort_of_bans(1_600, weight));
        // Eight times as many, and room for what does not depend on the sources.
        assert!(many <= few * 9, "{weight:?}: {few} steps for 200 sources, {many} for 1,600");
        assert!(few >= 200, "{few}: what is counted?");
    }
}
