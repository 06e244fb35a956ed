/* Linked into tests that open devices: drivers stay loaded, since the leak checker names the library of a leak only while it is there
 * (lsan.supp). */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
