//! Deliberate mistakes. Each is made in a wrapper around a port and breaks one rule that matters; a
//! test shows that the invariants notice it. No code of the products has them.

use crate::named::named;

named! {
    /// One deliberate mistake.
    Mutation:
    OutboxForgotten = "an event is not kept with the commit";
    EventsAcknowledgedUnwritten = "D1 acknowledges events that it has not written";
    EventsDoubled = "an event that is written again gets another id";
    StateLostHidden = "the origin does not learn what the edge holds";
    PushAcknowledgedUnsent = "the origin takes a push for done that never reached the edge";
    PublishedBeforeCommit = "KV gets a CRL before it is committed";
    WritesAcknowledgedUnwritten = "KV acknowledges a CRL that it has not written";
    BodiesSwept = "bodies that are in use are swept";
    AgeStretched = "answers are fresh for a day longer than their CRL";
    ValidatorStuck = "the ETag of a list stays when the CRL changes";
    IsolateFrozen = "an isolate's clock stands still";
    SignaturesUnchecked = "any signature is accepted";
    PinForgotten = "the pinned certificate is forgotten";
    NumberForgotten = "the number of the CRL held is forgotten";
    GateOpened = "every removal counts as expired";
}
