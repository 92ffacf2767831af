use super::*;
use crate::clock::Timestamp;

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn plane() -> PurgePlane {
    let clock = Clock::manual(Timestamp::from_millis(1_000_000));
    PurgePlane::new(clock, Duration::from_secs(60), 1_000)
}

fn hard(text: &str) -> PurgeRequest {
    PurgeRequest::of(tag(text))
}

fn check(plane: &PurgePlane, tags: &TagSet, stamp: Stamp) -> PurgeState {
    plane.check(tags, stamp, &LastFoundUsable::default(), Strictness::Strict)
}

#[test]
fn an_answer_stamped_before_the_purge_is_dead_and_one_stamped_after_is_not() {
    let plane = plane();
    let tags: TagSet = [tag("price/item:1"), tag("price/*")].into_iter().collect();
    let before = plane.stamp();
    let number = plane.purge(&hard("price/item:1"));
    assert_eq!(check(&plane, &tags, before), PurgeState::HardPurged);
    assert_eq!(check(&plane, &tags, number), PurgeState::Usable);
}

#[test]
fn a_purge_of_other_tags_leaves_an_answer_usable_and_is_looked_up_once() {
    let plane = plane();
    let tags: TagSet = [tag("price/item:1")].into_iter().collect();
    let (stamp, last) = (plane.stamp(), LastFoundUsable::default());
    plane.purge(&hard("price/item:2"));
    assert_eq!(plane.check(&tags, stamp, &last, Strictness::Strict), PurgeState::Usable);
    assert_eq!(last.0.load(Ordering::Relaxed), plane.now().knowledge);
    plane.purge(&hard("price/item:1"));
    assert_eq!(plane.check(&tags, stamp, &last, Strictness::Strict), PurgeState::HardPurged);
}

#[test]
fn a_soft_purge_makes_stale_and_a_hard_one_outweighs_it() {
    let plane = plane();
    let tags: TagSet = [tag("product/item:1"), tag("product/*")].into_iter().collect();
    let stamp = plane.stamp();
    plane.purge(&PurgeRequest { hard: vec![], soft: vec![tag("product/item:1")] });
    assert_eq!(check(&plane, &tags, stamp), PurgeState::SoftPurged);
    plane.purge(&hard("product/*"));
    assert_eq!(check(&plane, &tags, stamp), PurgeState::HardPurged);
}

#[test]
fn a_purge_is_forgotten_only_when_no_answer_can_be_older() {
    let clock = Clock::manual(Timestamp::from_millis(1_000_000));
    let plane = PurgePlane::new(clock.clone(), Duration::from_secs(60), 1_000);
    plane.purge(&hard("price/item:1"));
    clock.advance(Duration::from_secs(60));
    plane.forget_old();
    assert_eq!(plane.remembered_tags(), 1);
    clock.advance(Duration::from_secs(1));
    plane.forget_old();
    assert_eq!(plane.remembered_tags(), 0);
}

#[test]
fn more_invalidated_urls_than_can_be_remembered_purge_all_urls_and_nothing_else() {
    let plane = plane().with_max_urls(10);
    let of_url: TagSet = [Tag::of_url("/a"), Tag::generic()].into_iter().collect();
    let of_price: TagSet = [tag("price/item:1"), tag("price/*")].into_iter().collect();
    let state = |tags, stamp| check(&plane, tags, stamp);
    let before = plane.stamp();
    plane.invalidate(vec![Tag::of_url("/b")], None);
    assert_eq!(state(&of_url, before), PurgeState::Usable);
    plane.invalidate(vec![Tag::of_url("/a")], None);
    assert_eq!(state(&of_url, before), PurgeState::HardPurged);
    for n in 0..1_000 {
        plane.invalidate(vec![Tag::of_url(&format!("/{n}"))], None);
        assert_eq!(state(&of_url, before), PurgeState::HardPurged, "{n}");
    }
    assert!(plane.remembered_tags() <= 21, "{}", plane.remembered_tags());
    assert_eq!(state(&of_price, before), PurgeState::Usable);
}

#[test]
fn more_tags_than_can_be_remembered_purge_everything_rather_than_lose_one() {
    let plane = PurgePlane::new(Clock::system(), Duration::from_secs(60), 2);
    let tags: TagSet = [tag("price/item:1"), Tag::everything()].into_iter().collect();
    plane.purge(&hard("price/item:1"));
    plane.purge(&hard("price/item:2"));
    let stamp = plane.stamp();
    plane.purge(&hard("price/item:3"));
    assert_eq!(check(&plane, &tags, stamp), PurgeState::HardPurged);
    assert_eq!(plane.remembered_tags(), 1);
    // Whoever finds its own tags gone must find this one, so it is looked up whatever they are.
    let tags: TagSet = [tag("price/item:1")].into_iter().collect();
    assert_eq!(check(&plane, &tags, stamp), PurgeState::HardPurged);
}

#[test]
fn what_is_purged_in_a_lineage_is_purged_of_the_one_before_too() {
    let plane = plane();
    let tags: TagSet = [tag("product/item:1")].into_iter().collect();
    let before = plane.stamp();
    let state = |strictness| plane.check(&tags, before, &LastFoundUsable::default(), strictness);
    let (sequence, nonce) = (Sequence::from_u64(1), Nonce(1));
    let lineage = Lineage { generation: 1, nonce: 1 };
    plane.enter(Stamp { lineage, sequence, nonce }, plane.marks());
    assert_eq!(state(Strictness::Lenient), PurgeState::SoftPurged);
    assert_eq!(state(Strictness::Strict), PurgeState::HardPurged);
    let purge = Position { sequence: sequence.next(), nonce };
    plane.apply(lineage, [(purge, &hard("product/item:1"))]);
    assert_eq!(state(Strictness::Lenient), PurgeState::HardPurged);
}
