//! What a template names, in branches that are not taken too, and whether it is there: found in its syntax tree, so that nothing
//! that is missing is found out only when something is sent.

use std::{collections::HashMap, fmt::Display};

use minijinja::{
    Environment, context,
    machinery::{
        ast::{BinOpKind, Call, CallArg, Expr, Filter, ForLoop, IfCond, Spanned, Stmt, UnaryOpKind},
        parse,
    },
    syntax::SyntaxConfig,
};
use serde_json::{Map, Value};

use super::engine::TemplateFault;

/// Faults of one template that are told.
const FAULTS_MAX: usize = 10;
/// Functions that templates may call.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];
/// What a loop knows of itself.
const LOOP: [&str; 9] = ["index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0"];
/// What is known of every recipient.
const RECIPIENT: [&str; 3] = ["key", "locale", "time_zone"];
/// Filters that give items of what they are given, or all of it.
const PASSING: [&str; 9] = ["default", "d", "list", "sort", "reverse", "unique", "select", "selectattr", "reject"];

/// Data in which names are looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names<'v> {
    /// An example, which has to have all that is named: an item of each list that is walked, too.
    Sample(&'v Map<String, Value>),
    /// What a notification really has.
    Data(&'v Map<String, Value>),
}

/// What is known of what an expression comes to.
#[derive(Clone, Debug)]
enum Known<'v> {
    /// It is one of these, as far as the data tell.
    Among(Vec<&'v Value>),
    Data,
    Recipient,
    Attributes,
    Loop,
    Anything,
}

/// Everything that a template names and that is not there.
pub(super) fn missing(source: &str, names: Names<'_>, environment: &Environment<'_>) -> Vec<TemplateFault> {
    let tree = match parse(source, "template", SyntaxConfig::default()) {
        Ok(tree) => tree,
        Err(error) => return vec![TemplateFault::of(&error)],
    };
    let mut walk = Walk { names, environment, scopes: vec![HashMap::new()], guarded: Vec::new(), faults: Vec::new() };
    walk.statement(&tree);
    walk.faults
}

struct Walk<'v, 's, 'e> {
    names: Names<'v>,
    environment: &'e Environment<'e>,
    scopes: Vec<HashMap<&'s str, Known<'v>>>,
    /// Paths that a condition around has found to be there.
    guarded: Vec<String>,
    faults: Vec<TemplateFault>,
}

impl<'v, 's> Walk<'v, 's, '_> {
    fn statements(&mut self, statements: &[Stmt<'s>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'s>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => {}
            Stmt::EmitExpr(emit) => drop(self.value(&emit.expr)),
            Stmt::ForLoop(each) => self.each(each),
            Stmt::IfCond(condition) => self.condition(condition),
            Stmt::WithBlock(with) => {
                self.scopes.push(HashMap::new());
                for (target, expr) in &with.assignments {
                    let value = self.value(expr);
                    self.bind(target, value);
                }
                self.statements(&with.body);
                self.scopes.pop();
            }
            Stmt::Set(set) => {
                let value = self.value(&set.expr);
                self.bind(&set.target, value);
            }
            Stmt::SetBlock(set) => {
                self.within(&set.body);
                if let Some(filter) = &set.filter {
                    self.value(filter);
                }
                self.bind(&set.target, Known::Anything);
            }
            Stmt::AutoEscape(block) => {
                self.value(&block.enabled);
                self.within(&block.body);
            }
            Stmt::FilterBlock(block) => {
                self.value(&block.filter);
                self.within(&block.body);
            }
            Stmt::Do(call) => self.call(&call.call),
        }
    }

    /// Statements whose variables end with them.
    fn within(&mut self, statements: &[Stmt<'s>]) -> HashMap<&'s str, Known<'v>> {
        self.scopes.push(HashMap::new());
        self.statements(statements);
        self.scopes.pop().unwrap_or_default()
    }

    fn each(&mut self, each: &Spanned<ForLoop<'s>>) {
        if each.recursive {
            self.fault(each.span().start_line, "loops are not recursive here");
        }
        let item = match self.value(&each.iter) {
            Known::Among(lists) => items(&lists),
            _ => Known::Anything,
        };
        self.scopes.push(HashMap::from([("loop", Known::Loop)]));
        self.bind(&each.target, item);
        if let Some(filter) = &each.filter_expr {
            self.value(filter);
        }
        let held = each.filter_expr.as_ref().map_or_else(Vec::new, |filter| guards(filter, true));
        let before = self.guard(held);
        self.statements(&each.body);
        self.guarded.truncate(before);
        self.scopes.pop();
        self.within(&each.else_body);
    }

    /// A variable that is set in both branches, or was set before, is there afterwards.
    fn condition(&mut self, condition: &IfCond<'s>) {
        self.value(&condition.expr);
        let before = self.guard(guards(&condition.expr, true));
        let mut set = self.within(&condition.true_body);
        self.guarded.truncate(before);
        self.guard(guards(&condition.expr, false));
        let otherwise = self.within(&condition.false_body);
        self.guarded.truncate(before);
        set.retain(|name, _| otherwise.contains_key(name) || self.bound(name).is_some());
        let both = otherwise.into_keys().filter(|name| set.contains_key(name) || self.bound(name).is_some());
        let names: Vec<&str> = both.chain(set.keys().copied()).collect();
        for name in names {
            self.set(name, Known::Anything);
        }
    }

    fn guard(&mut self, paths: Vec<String>) -> usize {
        let before = self.guarded.len();
        self.guarded.extend(paths);
        before
    }

    fn set(&mut self, name: &'s str, value: Known<'v>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, value);
        }
    }

    fn bind(&mut self, target: &Expr<'s>, value: Known<'v>) {
        match target {
            Expr::Var(variable) => self.set(variable.id, value),
            Expr::List(list) => list.items.iter().for_each(|item| self.bind(item, Known::Anything)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item, Known::Anything)),
            other => drop(self.value(other)),
        }
    }

    fn bound(&self, name: &str) -> Option<&Known<'v>> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    fn fault(&mut self, line: u16, detail: impl Display) {
        let fault = TemplateFault::at(line.into(), detail);
        let known = self.faults.iter().any(|one| one.detail == fault.detail);
        if !known && self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    fn value(&mut self, expr: &Expr<'s>) -> Known<'v> {
        match expr {
            Expr::Var(variable) => self.variable(variable.id, expr),
            Expr::GetAttr(get) => {
                let base = self.value(&get.expr);
                self.member(base, get.name, expr, false)
            }
            Expr::GetItem(get) => self.item(expr, &get.expr, &get.subscript_expr, false),
            Expr::Slice(slice) => {
                let base = self.value(&slice.expr);
                for bound in [&slice.start, &slice.stop, &slice.step].into_iter().flatten() {
                    self.value(bound);
                }
                base
            }
            Expr::Filter(filter) => self.filter(filter, expr),
            Expr::IfExpr(choice) => {
                self.value(&choice.test_expr);
                let before = self.guard(guards(&choice.test_expr, true));
                self.value(&choice.true_expr);
                self.guarded.truncate(before);
                self.guard(guards(&choice.test_expr, false));
                if let Some(otherwise) = &choice.false_expr {
                    self.value(otherwise);
                }
                self.guarded.truncate(before);
                Known::Anything
            }
            other => {
                self.parts(other);
                Known::Anything
            }
        }
    }

    /// The values that an expression is made of, where nothing is known of what it comes to.
    fn parts(&mut self, expr: &Expr<'s>) {
        match expr {
            Expr::UnaryOp(unary) => drop(self.value(&unary.expr)),
            Expr::BinOp(binary) => {
                self.value(&binary.left);
                let held = match binary.op {
                    BinOpKind::ScAnd => guards(&binary.left, true),
                    BinOpKind::ScOr => guards(&binary.left, false),
                    _ => Vec::new(),
                };
                let before = self.guard(held);
                self.value(&binary.right);
                self.guarded.truncate(before);
            }
            Expr::Compare(compare) => {
                self.value(&compare.expr);
                compare.ops.iter().for_each(|op| drop(self.value(&op.expr)));
            }
            Expr::Test(test) => {
                self.is_known("test", test.name, expr.span().start_line);
                match test.name {
                    "defined" | "undefined" => drop(self.lenient(&test.expr)),
                    _ => drop(self.value(&test.expr)),
                }
                self.arguments(&test.args);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|item| drop(self.value(item))),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| drop(self.value(item))),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|one| drop(self.value(one))),
            _ => {}
        }
    }

    /// What may be absent, but for what it is a member of.
    fn lenient(&mut self, expr: &Expr<'s>) -> Known<'v> {
        match expr {
            Expr::GetAttr(get) => {
                let base = self.value(&get.expr);
                self.member(base, get.name, expr, true)
            }
            Expr::GetItem(get) => self.item(expr, &get.expr, &get.subscript_expr, true),
            other => self.value(other),
        }
    }

    fn variable(&mut self, name: &str, expr: &Expr<'s>) -> Known<'v> {
        if let Some(known) = self.bound(name) {
            return known.clone();
        }
        match name {
            "data" => Known::Data,
            "recipient" => Known::Recipient,
            name if FUNCTIONS.contains(&name) => Known::Anything,
            name => {
                let detail = format!("there is no variable {name}; templates know data and recipient");
                self.fault(expr.span().start_line, detail);
                Known::Anything
            }
        }
    }

    fn item(&mut self, whole: &Expr<'s>, base: &Expr<'s>, at: &Expr<'s>, may_miss: bool) -> Known<'v> {
        let known = self.value(base);
        let place = at.as_const();
        if let Some(name) = place.as_ref().and_then(|place| place.as_str()) {
            return self.member(known, name, whole, may_miss);
        }
        self.value(at);
        match (known, place.and_then(|place| i64::try_from(place).ok())) {
            (Known::Among(lists), Some(place)) => {
                let found = lists.iter().map(|list| {
                    let list = list.as_array()?;
                    let place = if place < 0 { i64::try_from(list.len()).ok()?.checked_add(place)? } else { place };
                    list.get(usize::try_from(place).ok()?)
                });
                self.found(&found.collect::<Vec<_>>(), whole, may_miss)
            }
            (Known::Among(lists), None) => items(&lists),
            _ => Known::Anything,
        }
    }

    fn member(&mut self, base: Known<'v>, name: &str, whole: &Expr<'s>, may_miss: bool) -> Known<'v> {
        let may_miss = may_miss || path(whole).is_some_and(|path| self.guarded.contains(&path));
        let line = whole.span().start_line;
        match base {
            Known::Anything => Known::Anything,
            Known::Loop if LOOP.contains(&name) => Known::Anything,
            Known::Recipient if RECIPIENT.contains(&name) => Known::Anything,
            Known::Recipient if name == "attributes" => Known::Attributes,
            Known::Attributes if may_miss => Known::Anything,
            Known::Loop => {
                self.fault(line, format_args!("loop has no {name}; it has {}", LOOP.join(", ")));
                Known::Anything
            }
            Known::Recipient => {
                let detail = format!("recipient has no {name}; it has {} and attributes", RECIPIENT.join(", "));
                self.fault(line, detail);
                Known::Anything
            }
            Known::Attributes => {
                let path = path(whole).unwrap_or_else(|| name.to_owned());
                let detail = format!("not every recipient has {path}; write {{{{ {path} | default(\"…\") }}}}");
                self.fault(line, detail);
                Known::Anything
            }
            Known::Data => {
                let (Names::Sample(data) | Names::Data(data)) = self.names;
                self.found(&[data.get(name)], whole, may_miss)
            }
            Known::Among(objects) => {
                let found = objects.iter().map(|object| object.get(name));
                self.found(&found.collect::<Vec<_>>(), whole, may_miss)
            }
        }
    }

    /// What was found of something in each of the values that it may be in.
    fn found(&mut self, found: &[Option<&'v Value>], whole: &Expr<'s>, may_miss: bool) -> Known<'v> {
        let there: Vec<&Value> = found.iter().copied().flatten().collect();
        if may_miss && there.is_empty() {
            return Known::Anything;
        }
        let (of_sample, path) = (matches!(self.names, Names::Sample(_)), path(whole).unwrap_or_default());
        let line = whole.span().start_line;
        if found.is_empty() && of_sample {
            let detail =
                format!("the sample shows no {path}, since the list that it is of is empty there; give it an item");
            self.fault(line, detail);
            return Known::Anything;
        }
        if there.len() < found.len() && !may_miss {
            let what = if of_sample { "the sample" } else { "the data" };
            let detail = format!(
                "{path} is not in {what}; add it there, or where it may be absent write {{{{ {path} | default(\"…\") }}}}"
            );
            self.fault(line, detail);
            return Known::Anything;
        }
        Known::Among(there)
    }

    fn filter(&mut self, filter: &Spanned<Filter<'s>>, whole: &Expr<'s>) -> Known<'v> {
        self.is_known("filter", filter.name, whole.span().start_line);
        let base = match (&filter.expr, filter.name) {
            (None, _) => Known::Anything,
            (Some(expr), "default" | "d") => self.lenient(expr),
            (Some(expr), _) => self.value(expr),
        };
        self.arguments(&filter.args);
        self.is_known_within(filter, whole.span().start_line);
        match (base, filter.name) {
            (Known::Among(values), name) if PASSING.contains(&name) || name == "rejectattr" => Known::Among(values),
            (Known::Among(lists), "first" | "last" | "min" | "max") => items(&lists),
            (Known::Among(lists), "map") => self.mapped(&lists, filter, whole),
            _ => Known::Anything,
        }
    }

    /// `map(attribute="…")` names a member of each item.
    fn mapped(&mut self, lists: &[&'v Value], filter: &Filter<'s>, whole: &Expr<'s>) -> Known<'v> {
        let mut named = None;
        for argument in &filter.args {
            match argument {
                CallArg::Kwarg("attribute", expr) => named = expr.as_const(),
                _ => return Known::Anything,
            }
        }
        let Some(name) = named.as_ref().and_then(|name| name.as_str()) else { return Known::Anything };
        let Known::Among(items) = items(lists) else { return Known::Anything };
        let lacks = |item: &&Value| name.split('.').try_fold(*item, |value, step| value.get(step)).is_none();
        if items.iter().any(lacks) {
            let detail = format!("an item has no {name}; add it, or write map(attribute=\"{name}\", default=\"…\")");
            self.fault(whole.span().start_line, detail);
        }
        Known::Anything
    }

    fn call(&mut self, call: &Spanned<Call<'s>>) {
        let is_function =
            matches!(&call.expr, Expr::Var(name) if FUNCTIONS.contains(&name.id) && self.bound(name.id).is_none());
        if !is_function {
            let detail = format!("nothing is called here but {}; use a filter", FUNCTIONS.join(", "));
            self.fault(call.span().start_line, detail);
        }
        self.arguments(&call.args);
    }

    fn arguments(&mut self, arguments: &[CallArg<'s>]) {
        for argument in arguments {
            let (CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr)) =
                argument;
            self.value(expr);
        }
    }

    /// What is done to each item is named by a text.
    fn is_known_within(&mut self, filter: &Filter<'s>, line: u16) {
        let (place, kind) = match filter.name {
            "map" => (0, "filter"),
            "select" | "reject" => (0, "test"),
            "selectattr" | "rejectattr" => (1, "test"),
            _ => return,
        };
        if let Some(CallArg::Pos(named)) = filter.args.get(place)
            && let Some(named) = named.as_const()
            && let Some(named) = named.as_str()
        {
            self.is_known(kind, named, line);
        }
    }

    /// A filter or test that is not there would be found out only where its branch is taken.
    fn is_known(&mut self, kind: &'static str, name: &str, line: u16) {
        let asked = if kind == "filter" { "name is filter" } else { "name is test" };
        let known = self.environment.compile_expression(asked).and_then(|asked| asked.eval(context! { name }));
        if !known.is_ok_and(|known| known.is_true()) {
            self.fault(line, format_args!("there is no {kind} {name}"));
        }
    }
}

/// The items of lists; of what is no list nothing is known.
fn items<'v>(lists: &[&'v Value]) -> Known<'v> {
    match lists.iter().all(|list| matches!(list, Value::Array(_) | Value::Null)) {
        true => Known::Among(lists.iter().filter_map(|list| list.as_array()).flatten().collect()),
        false => Known::Anything,
    }
}

/// What is there where a condition holds, or does not hold.
fn guards(condition: &Expr<'_>, holds: bool) -> Vec<String> {
    match condition {
        Expr::Test(test) if (test.name == "defined") == holds && ["defined", "undefined"].contains(&test.name) => {
            path(&test.expr).into_iter().collect()
        }
        Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => guards(&unary.expr, !holds),
        Expr::BinOp(both) if matches!((both.op, holds), (BinOpKind::ScAnd, true) | (BinOpKind::ScOr, false)) => {
            let mut found = guards(&both.left, holds);
            found.extend(guards(&both.right, holds));
            found
        }
        _ => Vec::new(),
    }
}

/// As it stands in the template: `data.post.title`, `data.items[0]`.
fn path(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Var(variable) => Some(variable.id.to_owned()),
        Expr::GetAttr(get) => Some(format!("{}.{}", path(&get.expr)?, get.name)),
        Expr::GetItem(get) => {
            let (base, place) = (path(&get.expr)?, get.subscript_expr.as_const()?);
            Some(match place.as_str() {
                Some(name) => format!("{base}.{name}"),
                None => format!("{base}[{place}]"),
            })
        }
        Expr::Slice(slice) => path(&slice.expr),
        Expr::Filter(filter) => path(filter.expr.as_ref()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::engine::environment, *};

    fn faults(source: &str) -> Vec<(usize, String)> {
        let sample = json!({ "post": { "title": "T", "likes": 2 }, "people": [{ "name": "A", "url": "u" }, { "name": "B" }],
            "nobody": [], "null": null, "tags": ["x"], "kind": "post", "labels": { "post": "Post" } });
        let found = missing(source, Names::Sample(sample.as_object().unwrap()), &environment());
        found.into_iter().map(|fault| (fault.line, fault.detail)).collect()
    }

    #[test]
    fn what_is_in_the_sample_may_be_named_in_every_way() {
        for source in [
            "{{ data.post.title }} {{ data['post']['title'] }} {{ recipient.key }} {{ recipient.locale }}",
            "{% for p in data.people %}{{ loop.index }} {{ p.name | upper }}{% else %}{{ data.kind }}{% endfor %}",
            "{{ data.people[0].url }} {{ (data.people | first).name }} {{ data.tags[-1] }} {{ data.tags | join(', ') }}",
            "{% set p = data.post %}{{ p.title }}{% with q = p %}{{ q.likes + 1 }}{% endwith %}",
            "{% if data.post.likes > 1 %}{% set s = 's' %}{% else %}{% set s = '' %}{% endif %}{{ s }}",
            "{% for p in data.people[1:] %}{{ p.name }}{% endfor %}{{ data.labels[data.kind] }}",
            "{% for k, v in data.labels | items %}{{ k }}{{ v }}{% endfor %}{{ data.people | map(attribute='name') | join }}",
            "{% if data.null %}{{ data.null }}{% endif %}{{ data.null | default('-') }}",
            "{{ '%s' | format(data.kind) }}{% raw %}{{ nothing }}{% endraw %}{# {{ nothing }} #}",
            "{% for n in range(3) %}{{ n }}{% endfor %}{{ {'a': data.kind} | tojson }}",
        ] {
            assert_eq!(faults(source), [], "{source}");
        }
    }

    #[test]
    fn what_may_be_absent_says_so() {
        for source in [
            "{{ data.gone | default('-') }} {{ data.gone | d('-') | upper }}",
            "{{ recipient.attributes.plan | default('free') }}",
            "{% if data.gone is defined %}{{ data.gone.deeper[0] }}{% endif %}",
            "{% if data.gone is defined and data.gone > 1 %}{{ data.gone }}{% endif %}",
            "{% if data.gone is not defined %}-{% else %}{{ data.gone }}{% endif %}",
            "{% if data.gone is undefined or not data.gone %}-{% elif data.gone %}{{ data.gone }}{% endif %}",
            "{{ data.gone if data.gone is defined else '' }}",
            "{% for p in data.people %}{{ p.url | default('') }}{% if p.url is defined %}{{ p.url }}{% endif %}{% endfor %}",
            "{% for x in data.gone | default([]) %}{{ x.anything }}{% endfor %}",
            "{% if recipient.attributes.plan is defined %}{{ recipient.attributes.plan }}{% endif %}",
        ] {
            assert_eq!(faults(source), [], "{source}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_line_in_branches_that_are_not_taken_too() {
        for (source, line, named) in [
            ("{{ data.gone }}", 1, "data.gone"),
            ("a\n\n{% if false %}\n{{ data.post.gone }}{% endif %}", 4, "data.post.gone"),
            ("{% if data.gone %}{% endif %}", 1, "data.gone"),
            ("{{ data['gone'] }}", 1, "data.gone"),
            ("{{ data.gone[1:] }}", 1, "data.gone"),
            ("{{ data.tags[1] }}", 1, "data.tags[1]"),
            ("{{ data.gone.deeper | default('') }}", 1, "data.gone is not"),
            ("{{ data.null.name }}", 1, "data.null.name"),
            ("{% for p in data.people %}\n{{ p.url }}{% endfor %}", 2, "p.url"),
            ("{% for p in data.nobody %}{{ p.name }}{% endfor %}", 1, "give it an item"),
            ("{% set data = data.gone %}", 1, "data.gone"),
            ("{% filter replace('a', data.gone) %}{% endfilter %}", 1, "data.gone"),
            ("{% if data.gone is defined or data.gone %}{% endif %}", 1, "data.gone"),
            ("{% if data.gone is defined %}{% else %}{{ data.gone }}{% endif %}", 1, "data.gone"),
            ("{% if data.kind %}{% set x = 1 %}{% endif %}{{ x }}", 1, "variable x"),
            ("{{ actor.name }}", 1, "variable actor"),
            ("{{ recipient.email }}", 1, "recipient has no email"),
            ("{{ recipient.attributes.plan }}", 1, "not every recipient has recipient.attributes.plan"),
            ("{% for p in data.people %}{{ loop.nothing }}{% endfor %}", 1, "loop has no nothing"),
            ("{% if false %}{{ data.kind | nosuch }}{% endif %}", 1, "no filter nosuch"),
            ("{% if false %}{{ data.kind is nosuch }}{% endif %}", 1, "no test nosuch"),
            ("{{ data.people | map(attribute='url') | join }}", 1, "an item has no url"),
            ("{{ data.tags | map('nosuch') | join }}", 1, "no filter nosuch"),
            ("{{ data.people | selectattr('url', 'nosuch') | list | length }}", 1, "no test nosuch"),
        ] {
            let found = faults(source);
            let [(at, detail)] = found.as_slice() else { panic!("{source}: {found:?}") };
            assert!(*at == line && detail.contains(named), "{source}: {found:?}");
        }
    }

    /// `loop.cycle()` without arguments divides by zero in the engine, and calling `loop` is recursion.
    #[test]
    fn nothing_is_called_but_functions() {
        for source in [
            "{% for p in data.people %}{{ loop.cycle() }}{% endfor %}",
            "{% for p in data.people %}{{ loop(data.people) }}{% endfor %}",
            "{% for p in data.people %}{% set range = loop %}{{ range(data.people) }}{% endfor %}",
            "{{ data.kind.upper() }}",
            "{{ data.people.items() }}",
        ] {
            assert!(faults(source).iter().any(|(_, detail)| detail.contains("nothing is called")), "{source}");
        }
        assert!(!faults("{% for p in data.people recursive %}{% endfor %}").is_empty());
    }
}
