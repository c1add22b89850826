//! Events as a page of JSON, as lines of JSON, or as comma-separated values.

use serde::Serialize;
use serde_json::Value;

use super::event_query::Cursor;
use crate::events::Event;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EventPage {
    /// Newest first.
    pub(crate) events: Vec<Event>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next_cursor: Option<String>,
}

impl EventPage {
    /// The first `limit` of `events`. The query asked for one more, to learn whether a page
    /// follows.
    #[must_use]
    pub(crate) fn of(mut events: Vec<Event>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = events.len() > limit;
        events.truncate(limit);
        let last = events.last().filter(|_| more);
        Self {
            next_cursor: last.map(|last| Cursor::of(last).to_string()),
            events,
        }
    }
}

/// The newest `count` of the events in D1 and of those that are pending, newest first, without
/// duplicates.
#[must_use]
pub(crate) fn newest(recorded: Vec<Event>, owed: Vec<Event>, count: u32) -> Vec<Event> {
    let mut newest: Vec<Event> = Vec::new();
    for event in recorded.into_iter().chain(owed) {
        let compared =
            |other: &Event| (&event.started_at, event.id).cmp(&(&other.started_at, other.id));
        if let Err(place) = newest.binary_search_by(compared) {
            newest.insert(place, event);
        }
    }
    newest.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    newest
}

/// Events as one JSON object a line.
#[must_use]
pub(crate) fn ndjson(events: &[Event]) -> String {
    let mut lines = String::new();
    for event in events {
        // Every field is text or a number, so this cannot fail.
        lines.push_str(&serde_json::to_string(event).unwrap_or_default());
        lines.push('\n');
    }
    lines
}

/// The header line of the comma-separated values: the table's columns.
#[must_use]
pub(crate) fn csv_header() -> String {
    Event::COLUMNS.join(",") + "\r\n"
}

/// Events as comma-separated values, without the header line (RFC 4180). Null is empty.
///
/// The `csv` crate, which reads them in the tests, would add a thirtieth to the Worker's size.
#[must_use]
pub(crate) fn csv(events: &[Event]) -> String {
    let mut lines = String::new();
    for event in events {
        // An event is a JSON object, so neither this nor the lookup of its fields fails.
        let event = serde_json::to_value(event).unwrap_or_default();
        for (index, column) in Event::COLUMNS.iter().enumerate() {
            if index > 0 {
                lines.push(',');
            }
            match event.get(column) {
                None | Some(Value::Null) => (),
                Some(Value::String(text)) => push_text(&mut lines, text),
                // A number, or JSON.
                Some(other) => push_text(&mut lines, &other.to_string()),
            }
        }
        lines.push_str("\r\n");
    }
    lines
}

fn push_text(line: &mut String, text: &str) {
    if text.contains(['"', ',', '\r', '\n']) {
        line.extend(["\"", &text.replace('"', "\"\""), "\""]);
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::event;

    #[test]
    fn a_page_has_a_cursor_only_where_another_follows() {
        let events = || vec![event(3), event(2), event(1)];
        let page = EventPage::of(events(), 2);
        assert_eq!(page.events.len(), 2);
        assert_eq!(page.next_cursor, Some(Cursor::of(&event(2)).to_string()));
        assert_eq!(EventPage::of(events(), 3).next_cursor, None);
    }

    #[test]
    fn an_event_on_its_way_to_d1_is_among_the_newest_and_is_there_once() {
        let recorded = vec![event(3), event(2), event(1)];
        let owed = vec![event(3), event(5)];
        assert_eq!(newest(recorded, owed, 3), [event(5), event(3), event(2)]);
        assert_eq!(newest(vec![], vec![event(1)], 3), [event(1)]);
    }

    #[test]
    fn lines_of_json_are_the_events() {
        let lines = ndjson(&[event(2), event(1)]);
        let read: Vec<Event> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read, [event(2), event(1)]);
    }

    #[test]
    fn comma_separated_values_come_back_as_they_were() {
        let mut odd = event(1);
        odd.error = Some("a \"quoted\", long\r\nreason".to_owned());
        let text = csv_header() + &csv(&[event(2), odd.clone()]);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let read: Vec<Event> = reader.deserialize().map(Result::unwrap).collect();
        assert_eq!(read, [event(2), odd]);
    }

    #[test]
    fn the_header_line_names_the_fields_in_their_order() {
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(Vec::new());
        writer.serialize(event(1)).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        assert!(text.starts_with(&csv_header()), "{text}");
    }
}
