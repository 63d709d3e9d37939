//! People: they give orders, freeze everything, change the published path by hand, and follow advice at the end.

use shared::journal::{Order, PhaseName};

use crate::rotation::drive::Wish;
use crate::rotation::simulation::event::{ACTORS, Loop};
use crate::rotation::simulation::random::Random;
use crate::rotation::simulation::state::Shown;

impl Loop {
    /// A person does something: an order, a freeze or its end, a change of the published path by hand.
    pub(super) fn person(&mut self, random: &mut Random) {
        if !self.meddling {
            // External consumers are released by attentive people everywhere.
            self.order(random, Order::Release { consumer: "elsewhere".into() });
            return;
        }
        match random.below(100) {
            0..12 => {
                let mut state = self.state.borrow_mut();
                state.fault("freeze");
                state.store.frozen = !state.store.frozen;
            }
            12..20 => {
                let mut state = self.state.borrow_mut();
                if state.store.published.is_none() {
                    return;
                }
                state.fault("path changed");
                let account = state.spec.strategy.next_slot(None).to_owned();
                state.store.publish(Shown { account, secret: b"by hand".to_vec() });
                state.restored = true;
                self.restored_at = Some(state.now);
            }
            20..45 => self.order(random, Order::Retry),
            45..60 => self.order(random, Order::Abort),
            60..66 => self.order(random, Order::ForceRevoke { reason: "because".into() }),
            66..78 => self.order(random, Order::Reconcile),
            78..88 => self.order(random, Order::Adopt),
            _ => self.order(random, Order::Release { consumer: "elsewhere".into() }),
        }
    }

    fn order(&mut self, random: &mut Random, order: Order) {
        let index = random.below(ACTORS);
        if self.actors[index].drive.is_none() {
            self.state.borrow_mut().fault("order");
            self.spawn(index, Wish::Order { order, actor: "person".into() });
        }
    }

    /// What a person does at the end: lifts the freeze, releases whom only people can, follows advice.
    pub(super) fn advised(&mut self) -> Option<Order> {
        let mut state = self.state.borrow_mut();
        state.store.frozen = false;
        let external = state.spec.external.first().cloned();
        let record = state.record()?;
        if let Some(consumer) = external
            && record.phase.name() == PhaseName::Published
            && !record.spread.contains_key(&consumer)
        {
            return Some(Order::Release { consumer });
        }
        let advice = state.advice.take()?;
        self.help = self.help.checked_sub(1)?;
        // The first command that is named is the next one.
        let (_, command) = advice.split_once("`rotator ")?;
        Some(match command.split(' ').next()? {
            "retry" => Order::Retry,
            "abort" => Order::Abort,
            "adopt" => Order::Adopt,
            "reconcile" => Order::Reconcile,
            _ => return None,
        })
    }
}
