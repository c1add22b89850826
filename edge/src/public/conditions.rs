//! Conditional requests: RFC 9110, section 13.

use super::representation::Representation;
use crate::http::parse_date;

/// What a request's conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// The client has it: 304.
    NotModified,
    /// The client does not want this one: 412.
    PreconditionFailed,
}

/// Weighs the conditions of a GET or HEAD in the order of section 13.2.2.
pub(super) fn evaluate(
    header: &impl Fn(&str) -> Option<String>,
    current: &Representation,
) -> Verdict {
    let last_modified = current.last_modified;
    // A malformed date is as good as absent (sections 13.1.3 and 13.1.4).
    let date = |name| header(name).and_then(|date| parse_date(&date));
    let refused = match header("If-Match") {
        Some(tags) => !matches(&tags, &current.etag(), Comparison::Strong),
        None => date("If-Unmodified-Since").is_some_and(|date| last_modified.is_after(date)),
    };
    if refused {
        return Verdict::PreconditionFailed;
    }
    let held = match header("If-None-Match") {
        Some(tags) => matches(&tags, &current.etag(), Comparison::Weak),
        None => date("If-Modified-Since").is_some_and(|date| last_modified.is(date)),
    };
    if held {
        Verdict::NotModified
    } else {
        Verdict::Proceed
    }
}

/// Whether `If-Range` lets a range be sent (section 13.1.5): only if the client has a part of the
/// current CRL, byte for byte.
pub(super) fn if_range_holds(value: &str, current: &Representation) -> bool {
    let is_date = |date| current.last_modified.is_strongly(date);
    value == current.etag() || parse_date(value).is_some_and(is_date)
}

/// How entity tags are compared (section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Optional white space (section 5.6.3).
const WHITE_SPACE: [char; 2] = [' ', '\t'];

/// Whether `tags`, which is `*` or a list, names the strong tag `etag`. Elements that are no entity
/// tags name nothing.
fn matches(tags: &str, etag: &str, comparison: Comparison) -> bool {
    tags == "*"
        || EntityTags(tags)
            .any(|tag| tag.opaque == etag && (comparison == Comparison::Weak || !tag.is_weak))
}

/// An entity tag (section 8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EntityTag<'a> {
    is_weak: bool,
    /// With its quotes.
    opaque: &'a str,
}

/// The entity tags of a list (section 5.6.1.2), one by one. An opaque tag may hold commas, so that
/// splitting won't do.
struct EntityTags<'a>(&'a str);

impl<'a> Iterator for EntityTags<'a> {
    type Item = EntityTag<'a>;

    fn next(&mut self) -> Option<EntityTag<'a>> {
        loop {
            self.0 = self.0.trim_start_matches(WHITE_SPACE);
            if self.0.is_empty() {
                return None;
            }
            let tag = EntityTag::at_start(self.0);
            let after = tag.map_or(self.0, |(_, after)| after);
            let (garbage, rest) = after.split_once(',').unwrap_or((after, ""));
            self.0 = rest;
            match tag {
                Some((tag, _)) if garbage.trim_matches(WHITE_SPACE).is_empty() => return Some(tag),
                _ => {}
            }
        }
    }
}

impl<'a> EntityTag<'a> {
    /// The tag that `text` begins with, and what follows.
    fn at_start(text: &'a str) -> Option<(Self, &'a str)> {
        let (is_weak, quoted) = match text.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let inner = quoted.strip_prefix('"')?;
        let (opaque, after) = quoted.split_at_checked(inner.find('"')?.checked_add(2)?)?;
        let is_tag = opaque.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        is_tag.then_some((Self { is_weak, opaque }, after))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(text: &str) -> Vec<(bool, &str)> {
        EntityTags(text)
            .map(|tag| (tag.is_weak, tag.opaque))
            .collect()
    }

    #[test]
    fn lists_are_read_as_the_grammar_has_them() {
        assert_eq!(
            tags(r#""a", W/"b" ,,	"c,d" , "", "é""#),
            [
                (false, r#""a""#),
                (true, r#""b""#),
                (false, r#""c,d""#),
                (false, r#""""#),
                (false, r#""é""#)
            ]
        );
    }

    #[test]
    fn what_is_no_tag_is_passed_over() {
        for text in [
            "",
            ",",
            "a",
            r#""a"#,
            r#"w/"a""#,
            r#"W/ "a""#,
            r#""a"b"#,
            r#""a b""#,
            r"'a'",
            "*",
        ] {
            assert_eq!(tags(text), [], "{text}");
        }
        assert_eq!(tags(r#"x, "a"b, "c""#), [(false, r#""c""#)]);
    }

    #[test]
    fn a_star_stands_alone() {
        assert!(matches("*", "\"a\"", Comparison::Strong));
        assert!(!matches("*, \"b\"", "\"a\"", Comparison::Weak));
        assert!(!matches("\"*\"", "\"a\"", Comparison::Weak));
    }

    proptest! {
        #[test]
        fn a_tag_is_found_wherever_it_stands(
            before in proptest::collection::vec("(W/)?\"[a-z,]{0,5}\"", 0..4),
            after in proptest::collection::vec("(W/)?\"[a-z,]{0,5}\"", 0..4),
            weak in any::<bool>(),
        ) {
            let tag = if weak { "W/\"THE,ONE\"" } else { "\"THE,ONE\"" };
            let list = [before, vec![tag.to_owned()], after].concat().join(", ");
            prop_assert!(matches(&list, "\"THE,ONE\"", Comparison::Weak));
            prop_assert_eq!(matches(&list, "\"THE,ONE\"", Comparison::Strong), !weak);
        }

        #[test]
        fn no_text_panics_or_matches_by_accident(text in "[\",W/ \t\u{e9}a*]{0,24}") {
            let names_it = matches(&text, "\"zz\"", Comparison::Weak);
            prop_assert_eq!(names_it, text == "*");
        }
    }
}
