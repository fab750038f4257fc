package convert

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestSightings(t *testing.T) {
	object := func(name, uid, version string) *metav1.ObjectMeta {
		return &metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(uid), ResourceVersion: version}
	}
	cases := map[string]struct {
		now             []*metav1.ObjectMeta
		areNew, missing int
	}{
		"nothing changed":            {now: []*metav1.ObjectMeta{object("a", "1", "1"), object("b", "2", "2")}},
		"another version":            {now: []*metav1.ObjectMeta{object("a", "1", "1"), object("b", "2", "3")}, areNew: 1},
		"an older version":           {now: []*metav1.ObjectMeta{object("a", "1", "0"), object("b", "2", "2")}, areNew: 1},
		"another object of one name": {now: []*metav1.ObjectMeta{object("a", "1", "1"), object("b", "9", "2")}, areNew: 1},
		"one comes":                  {now: []*metav1.ObjectMeta{object("a", "1", "1"), object("b", "2", "2"), object("c", "3", "3")}, areNew: 1},
		"one goes":                   {now: []*metav1.ObjectMeta{object("b", "2", "2")}, missing: 1},
		"one comes for another":      {now: []*metav1.ObjectMeta{object("c", "3", "3"), object("b", "2", "2")}, areNew: 1, missing: 1},
		"all go":                     {missing: 2},
		"one is told twice":          {now: []*metav1.ObjectMeta{object("a", "1", "1"), object("a", "1", "1")}, missing: 1},
		"one is not stored":          {now: []*metav1.ObjectMeta{object("a", "1", ""), object("b", "2", "2")}, areNew: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var s sightings[int]
			look := func(objects []*metav1.ObjectMeta) (areNew, missing int) {
				s.begin()
				for _, o := range objects {
					if _, isNew := s.see(o); isNew {
						areNew++
					}
				}
				for range s.missing() {
					missing++
				}
				return areNew, missing
			}
			look([]*metav1.ObjectMeta{object("a", "1", "1"), object("b", "2", "2")})
			if areNew, missing := look(tc.now); areNew != tc.areNew || missing != tc.missing {
				t.Errorf("%d new and %d missing, want %d and %d", areNew, missing, tc.areNew, tc.missing)
			}
		})
	}
}
