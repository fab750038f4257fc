package api

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is one x-kubernetes-validations entry of a CRD.
type rule struct {
	kind string
	// at is where in an object the rule stands, such as "spec.groups[]"; "" is the
	// object itself.
	at string
	// field is the field that the API server names when the rule refuses.
	field   string
	message string
	// isTransition is true for a rule that compares with the stored object.
	isTransition bool
}

var usesOldSelf = regexp.MustCompile(`\boldSelf\b`)

// rulesOfCRDs collects every CEL rule of every served version.
func rulesOfCRDs(t *testing.T) []rule {
	t.Helper()
	var out []rule
	for _, f := range documents(t, crdDir) {
		var crd struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Schema struct{ OpenAPIV3Schema map[string]any }
				}
			}
		}
		if err := yaml.Unmarshal(f.yaml, &crd); err != nil {
			t.Fatalf("reading %s: %v", f.name, err)
		}
		for _, version := range crd.Spec.Versions {
			out = append(out, rulesOf(crd.Spec.Names.Kind, "", version.Schema.OpenAPIV3Schema)...)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no CEL rules", crdDir)
	}
	return out
}

func rulesOf(kind, at string, schema map[string]any) []rule {
	var out []rule
	validations, _ := schema["x-kubernetes-validations"].([]any)
	for _, v := range validations {
		fields, _ := v.(map[string]any)
		text, _ := fields["rule"].(string)
		message, _ := fields["message"].(string)
		fieldPath, _ := fields["fieldPath"].(string)
		field := strings.TrimPrefix(at+fieldPath, ".")
		if field == "" {
			field = "<nil>"
		}
		out = append(out, rule{kind: kind, at: at, field: field, message: message, isTransition: usesOldSelf.MatchString(text)})
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if property, ok := properties[name].(map[string]any); ok {
			out = append(out, rulesOf(kind, strings.TrimPrefix(at+"."+name, "."), property)...)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		out = append(out, rulesOf(kind, at+"[]", items)...)
	}
	if values, ok := schema["additionalProperties"].(map[string]any); ok {
		out = append(out, rulesOf(kind, at+".*", values)...)
	}
	return out
}

// Every CEL rule has a row that it refuses and a row that it lets through, and
// tells a person what to write instead.
func TestEveryRuleHasRows(t *testing.T) {
	accepted, refused := map[rule]bool{}, map[rule]bool{}
	all := rulesOfCRDs(t)
	for name, row := range ruleRows {
		r := row.of(t, name, all)
		if row.refused {
			refused[r] = true
		} else {
			accepted[r] = true
		}
	}
	for _, r := range all {
		if r.message == "" {
			t.Errorf("%s at %q has a CEL rule without a message: say what to write instead", r.kind, r.at)
		}
		if !strings.Contains(r.message, ": ") {
			t.Errorf("%s at %q: the message %q does not say what to write instead after a colon", r.kind, r.at, r.message)
		}
		if !refused[r] {
			t.Errorf("%s at %q: no row in ruleRows is refused with %q", r.kind, r.at, r.message)
		}
		if !accepted[r] {
			t.Errorf("%s at %q: no row in ruleRows is accepted by the rule with %q", r.kind, r.at, r.message)
		}
	}
}

// of finds the one rule that a row is about.
func (row ruleRow) of(t *testing.T, name string, all []rule) rule {
	t.Helper()
	var found []rule
	for _, r := range all {
		if r.kind == row.kind && r.at == row.at && strings.Contains(r.message, row.rule) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("row %q: %s has %d rules at %q with %q in the message, want one", name, row.kind, len(found), row.at, row.rule)
	}
	if found[0].isTransition && len(row.then) == 0 {
		t.Fatalf("row %q: the rule compares with the stored object, and the row has no update", name)
	}
	return found[0]
}
