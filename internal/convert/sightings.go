package convert

import (
	"iter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// sightings keep what was made of each object of one kind, and tell which objects
// are another version than at the last look. The zero value has seen nothing.
type sightings[T any] struct {
	of map[types.NamespacedName]*sighting[T]
	// look counts looks, and seen the objects of the present one.
	look, seen int
}

type sighting[T any] struct {
	uid     types.UID
	version string
	look    int
	made    T
}

// begin starts a look at all objects.
func (s *sightings[T]) begin() {
	if s.of == nil {
		s.of = map[types.NamespacedName]*sighting[T]{}
	}
	s.look++
	s.seen = 0
}

// see returns what was made of an object, and whether it is another version now. An
// object that is not stored has no version and always is.
func (s *sightings[T]) see(o metav1.Object) (made *T, isNew bool) {
	key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	known := s.of[key]
	if known == nil {
		known = &sighting[T]{}
		s.of[key] = known
	}
	if known.look != s.look {
		known.look = s.look
		s.seen++
	}
	uid, version := o.GetUID(), o.GetResourceVersion()
	isNew = version == "" || known.version != version || known.uid != uid
	known.uid, known.version = uid, version
	return &known.made, isNew
}

// missing forgets what the present look did not see, and returns it.
func (s *sightings[T]) missing() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		if s.seen == len(s.of) {
			return
		}
		for key, known := range s.of {
			if known.look == s.look {
				continue
			}
			delete(s.of, key)
			if !yield(&known.made) {
				return
			}
		}
	}
}

// differ looks at all objects, and says whether one of them came, went or changed.
func differ[T any, P interface {
	*T
	metav1.Object
}](s *sightings[struct{}], objects []T) bool {
	found := false
	s.begin()
	for i := range objects {
		if _, isNew := s.see(P(&objects[i])); isNew {
			found = true
		}
	}
	for range s.missing() {
		found = true
	}
	return found
}

// at is what was made of an object without a namespace, nil for none.
func (s *sightings[T]) at(name string) *T {
	if known := s.of[types.NamespacedName{Name: name}]; known != nil {
		return &known.made
	}
	return nil
}

// all returns everything that was made.
func (s *sightings[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, known := range s.of {
			if !yield(&known.made) {
				return
			}
		}
	}
}
