// Package measure finds out what accelerators really deliver: matrix products,
// copies in device memory, from the host and between devices, and reads from NVMe.
//
// Devices are measured one after the other, idle ones only, and each within a time
// limit. A figure that cannot be measured is left out with a reason; nothing is
// guessed, and no value that a device cannot have is passed on. The planning of
// sizes, the statistics and the conversion to the API are functions of values;
// device.go and what it calls works on the device.
//
// It has been run on hack/fakecuda and not on a device yet.
package measure
