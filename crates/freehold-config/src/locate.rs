//! Finds where in the file a value stands, so that an error about its meaning can point at it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// Byte offset and length of the value at `path` (keys and indexes), or of its closest ancestor
/// that the file holds.
pub(crate) fn locate(yaml: &str, path: &[String]) -> Option<(usize, usize)> {
    let options = super::bounds(yaml.len());
    let root: Spanned<Tree> = serde_saphyr::from_str_with_options(yaml, options).ok()?;
    let mut node = &root;
    for step in path {
        let next = match &node.value {
            Tree::Map(entries) => entries.get(step),
            Tree::List(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
            Tree::Leaf => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    let span = node.referenced.span();
    let offset = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    // A map's span can cover many lines; the first one is what the reader wants.
    let line = yaml.get(offset..)?.lines().next().map_or(0, str::len);
    // Some spans of maps are empty; the rest of the line shows the place.
    Some((offset, if length == 0 { line } else { length.min(line) }))
}

enum Tree {
    Map(BTreeMap<String, Spanned<Tree>>),
    List(Vec<Spanned<Tree>>),
    Leaf,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            entries.insert(key, value);
        }
        Ok(Tree::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_closest_ancestors_are_found() {
        let yaml = "backends:\n  gpu:\n    type: vllm\nkeys:\n  - name: a\n";
        let at = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(ToString::to_string).collect();
            let (offset, length) = locate(yaml, &path).unwrap();
            &yaml[offset..offset + length]
        };
        assert_eq!(at(&["backends", "gpu", "type"]), "vllm");
        assert_eq!(at(&["keys", "0", "name"]), "a");
        assert_eq!(at(&["keys", "0", "missing"]), "name: a");
    }
}
