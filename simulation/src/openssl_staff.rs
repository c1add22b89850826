//! The staff of a CA that is kept with `openssl ca`, and what happens to its files.

use std::rc::Rc;
use std::time::Duration;

use crate::faults::Accident;
use crate::world::World;

/// Lets them act.
pub(crate) fn start(world: &Rc<World>) {
    world.spawn(work(Rc::clone(world)));
}

async fn work(world: Rc<World>) {
    let random = world.chance("staff of openssl ca");
    loop {
        world.pause(&random, 30..5_400).await;
        if let Some(done) = world.directory.work(&random) {
            written(&world, done);
        }
    }
}

/// Harms the CA's files, at once: the storm may end now. After a while somebody mends them.
pub(crate) fn harm(world: &Rc<World>, accident: Accident) {
    if accident == Accident::IndexSameStamp {
        return world.spawn(revoke_wrongly(Rc::clone(world)));
    }
    match world.directory.spoil(accident) {
        Ok(number) => {
            written(world, Ok(()));
            world.spawn(mend_later(Rc::clone(world), accident, number));
        }
        Err(error) => written(world, Err(error)),
    }
}

async fn mend_later(world: Rc<World>, accident: Accident, number: u32) {
    let ca = &world.directory;
    let longest = *ca.random.pick(&[10, 300, 7_200]);
    let time = ca.random.seconds(1..longest);
    world.timeline.sleep(time).await;
    if !ca.is_still_harmed(number) {
        return;
    }
    if accident == Accident::IndexMissing {
        return written(&world, ca.end_rename());
    }
    mend(&world);
}

/// Somebody revokes a certificate, notices the mistake at once, and corrects it within the second
/// that the file's time shows.
async fn revoke_wrongly(world: Rc<World>) {
    let ca = &world.directory;
    let into_second = world.timeline.now().as_millis() % 1_000;
    let rest = Duration::from_millis((1_000 - into_second).unsigned_abs());
    world.timeline.sleep(rest).await;
    let mistake = match ca.revoke_wrongly() {
        Ok(Some(mistake)) => mistake,
        Ok(None) => return,
        Err(error) => return written(&world, Err(error)),
    };
    written(&world, Ok(()));
    let while_it_counts = ca.random.millis(1..999);
    world.timeline.sleep(while_it_counts).await;
    written(&world, ca.correct(&mistake));
}

/// Everything in the CA's directory is as it should be.
pub(crate) fn mend(world: &World) {
    written(world, world.directory.mend());
}

/// The CA's directory has changed.
fn written(world: &World, done: anyhow::Result<()>) {
    if let Err(error) = done {
        let what = format!("{error:#}");
        world.ledger.violated("a CA's files can be written", &what);
    }
    world.directory_changed();
}
