//! Whatever happens in whatever order, everyone in the line is called when it is time, in order, and
//! nothing is lost. Futures are polled only when they were woken: a wake-up that is missing shows.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Enter(Patience),
    TryEnter(Priority),
    Write,
    /// One of those in the line goes away.
    Abandon(usize),
    /// One that was let in sends, or gives back.
    Leave(usize),
    GiveBack(usize),
    /// One that was sent ends.
    End(usize, Ending),
    Drop(usize),
    Advance(u64),
    /// Those who were woken come to hear it; until then they are as threads that are busy.
    Run,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let ending = prop_oneof![
        8 => Just(FINE),
        2 => Just(Ending::Failed),
        1 => Just(answered(503, None)),
        1 => Just(answered(429, None)),
        1 => Just(answered(429, Some(3 * SECOND))),
    ];
    let act = prop_oneof![
        8 => Just(Act::Enter(Patience::Waits)),
        1 => Just(Act::Enter(Patience::None)),
        1 => Just(Act::TryEnter(Priority::Revalidation)),
        1 => Just(Act::TryEnter(Priority::AfterPurge)),
        1 => Just(Act::Write),
        3 => any::<usize>().prop_map(Act::Abandon),
        5 => any::<usize>().prop_map(Act::Leave),
        2 => any::<usize>().prop_map(Act::GiveBack),
        4 => (any::<usize>(), ending).prop_map(|(which, ending)| Act::End(which, ending)),
        1 => any::<usize>().prop_map(Act::Drop),
        4 => (0..2_500_u64).prop_map(Act::Advance),
        8 => Just(Act::Run),
    ];
    proptest::collection::vec(act, 0..120)
}

/// Whether a future was woken since it was last polled.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Entering<'g> = Pin<Box<dyn Future<Output = Result<Admission, Shut>> + 'g>>;

struct World<'g> {
    gate: &'g Arc<Gate>,
    clock: Clock,
    asked: usize,
    last_let_in: usize,
    line: Vec<(usize, Entering<'g>, Arc<Flag>)>,
    admissions: Vec<Admission>,
    under_way: Vec<UnderWay>,
}

impl World<'_> {
    /// Polls who was woken until nobody is; whoever is let in came after all who were before.
    fn run(&mut self) {
        while let Some(index) =
            self.line.iter().position(|(_, _, flag)| flag.0.load(Ordering::SeqCst))
        {
            let (number, entering, flag) = &mut self.line[index];
            flag.0.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(flag));
            let Poll::Ready(answer) = entering.as_mut().poll(&mut Context::from_waker(&waker))
            else {
                continue;
            };
            if let Ok(admission) = answer {
                assert!(*number > self.last_let_in, "{number} after {}", self.last_let_in);
                self.last_let_in = *number;
                self.admissions.push(admission);
            }
            drop(self.line.remove(index));
        }
    }

    /// Nobody who can go stays, or waits in vain. The room is looked at as it is: a change of it would
    /// call whoever was forgotten.
    fn check(&self) {
        let room = self.gate.room.lock();
        assert_eq!(room.in_flight(), self.admissions.len() + self.under_way.len());
        assert_eq!(room.waiting(), self.line.len(), "all who are in the line are waited for");
        if !self.line.is_empty() {
            match room.outlook(self.clock.monotonic()) {
                Outlook::Open => panic!("the gate is open, and somebody waits"),
                Outlook::Waits(_) => {}
                Outlook::Shut(shut) => assert!(shut.reason != ShutReason::Broken),
            }
        }
    }

    fn act(&mut self, act: Act) {
        let pick = |which: usize, count: usize| (count > 0).then(|| which % count.max(1));
        match act {
            Act::Enter(patience) => {
                self.asked += 1;
                let entering: Entering<'_> = Box::pin(self.gate.enter(patience));
                let woken = Arc::new(Flag(AtomicBool::new(true)));
                self.line.push((self.asked, entering, woken));
                // It takes its place when it is first polled.
                self.run();
            }
            Act::TryEnter(priority) => self.admissions.extend(self.gate.try_enter(priority)),
            Act::Write => self.under_way.push(self.gate.enter_write().leave(None)),
            Act::Abandon(which) => {
                if let Some(index) = pick(which, self.line.len()) {
                    drop(self.line.remove(index));
                }
            }
            Act::Leave(which) => {
                if let Some(index) = pick(which, self.admissions.len()) {
                    self.under_way.push(self.admissions.remove(index).leave(None));
                }
            }
            Act::GiveBack(which) => {
                if let Some(index) = pick(which, self.admissions.len()) {
                    drop(self.admissions.remove(index));
                }
            }
            Act::End(which, ending) => {
                if let Some(index) = pick(which, self.under_way.len()) {
                    self.under_way.remove(index).end(ending);
                }
            }
            Act::Drop(which) => {
                if let Some(index) = pick(which, self.under_way.len()) {
                    drop(self.under_way.remove(index));
                }
            }
            Act::Advance(millis) => self.clock.advance(Duration::from_millis(millis)),
            Act::Run => self.run(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nobody_is_forgotten_and_nothing_is_lost(
        acts in acts(),
        limit in 1_usize..4,
        burst in proptest::option::of(1_u32..4),
        max_waiting in 0_usize..6,
    ) {
        let settings = config::Gate {
            budget: burst.and_then(|burst| tokens(burst).budget),
            max_waiting,
            max_wait: 2 * SECOND,
            broken_after: 3,
            ..places(limit)
        };
        let (gate, clock) = gate(&settings);
        let mut world = World {
            gate: &gate,
            clock,
            asked: 0,
            last_let_in: 0,
            line: Vec::new(),
            admissions: Vec::new(),
            under_way: Vec::new(),
        };
        for act in acts {
            world.act(act);
            if matches!(act, Act::Run | Act::Enter(_)) {
                world.check();
            }
        }
        let World { line, admissions, under_way, .. } = world;
        drop((line, admissions, under_way));
        let room = gate.room.lock();
        prop_assert_eq!((room.in_flight(), room.waiting()), (0, 0));
    }
}
